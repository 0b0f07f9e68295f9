/** Where `npm start` leaves the token of its run for `npm run gateway -- watch`, beside the file of the accepted ones. */
export function sessionTokenFile(tokensFile: string): string {
  return `${tokensFile}.session`;
}
