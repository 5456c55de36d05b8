/** Tells who sends a request. */
export interface Authenticator {
  /**
   * The user's name. `authorization` is the header of that name, `address` the client's, where it is known. Rejects
   * with UNAUTHORIZED, with TOOMANYREQUESTS after too many failures, and with UNAVAILABLE while too many want to be checked.
   */
  authenticate(authorization: string | null, address: string | null): Promise<string>
}
