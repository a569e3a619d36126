// What is told of work that takes long.

/** Called now and then with what is being done; what it throws ends the work. */
export type Say = (doing: string) => void;

/** Says what is done every two seconds. */
export function nowAndThen(say: Say): (doing: () => string) => void {
  let last = performance.now();
  return (doing) => {
    if (performance.now() - last < 2000) return;
    last = performance.now();
    say(doing());
  };
}
