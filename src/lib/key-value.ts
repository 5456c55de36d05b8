/** Small facts that can be found out again, such as the diffID of a layer. Null: not known. Never rejects. */
export interface KeyValue {
  get(key: string): Promise<string | null>
  set(key: string, value: string): Promise<void>
}
