/** A change that has been looked at and can be made: one of the two is called, once. */
export interface Prepared {
  /** Never fails. */
  apply(): void
  discard(): void
}
