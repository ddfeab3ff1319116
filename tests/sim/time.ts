/** When simulated time begins: 2023-11-14T22:13:20Z, epoch milliseconds. */
export const T0 = 1_700_000_000_000;
