// Requests to the server, and its events.

export const session = Array.from(crypto.getRandomValues(new Uint8Array(16)),
  byte => byte.toString(16).padStart(2, "0")).join("");

export const address = (path, values = {}) => `${path}?${new URLSearchParams({ session, ...values })}`;

// The answer to a request; throws an Error with the server's line for one that is refused.
export async function ask(path, values, options) {
  let answer;
  try {
    answer = await fetch(address(path, values), options);
  } catch (problem) {
    if (problem.name === "AbortError") throw problem;
    throw new Error("ginr cannot be reached: was it ended?");
  }
  if (answer.ok) return answer;
  throw new Error((await answer.json().catch(() => ({}))).error ?? `the server answers ${answer.status}`);
}

export const post = async (path, values, body) =>
  (await ask(path, values, { method: "POST", body })).json();

// Calls acts[event](values) for every event, and acts.lost() and acts.found() about the connection.
export function listen(acts) {
  const source = new EventSource(address("events"));
  for (const event of ["hello", "entry", "encoded", "note", "saving", "problem"])
    source.addEventListener(event, message => acts[event](JSON.parse(message.data)));
  source.addEventListener("open", () => acts.found());
  source.addEventListener("error", () => {
    if (source.readyState !== EventSource.CLOSED) acts.lost();
    else ask("events").catch(problem => acts.problem({ text: problem.message }));  // refused: why?
  });
}
