// Requests to the server of this page.

export class Problem extends Error {}

async function request(url, options) {
  let response;
  try {
    response = await fetch(url, options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Problem("The server does not respond. Is gannet serve still running?");
  }
  if (response.ok) return response.status === 204 ? null : response.json();
  const problem = await response.json().catch(() => ({}));
  throw new Problem(problem.detail || `The server returned status ${response.status}.`);
}

/** Search by an `{id}`, a `{text}`, a `{code}` or an `{image}` (a File). */
export function search({ image, ...query }, limits, signal) {
  if (!image) {
    const body = JSON.stringify({ ...query, ...limits });
    return request("/search", { method: "POST", headers: { "Content-Type": "application/json" }, body, signal });
  }
  const body = new FormData();
  body.append("image", image);
  for (const [name, value] of Object.entries(limits)) body.append(name, value);
  return request("/search", { method: "POST", body, signal });
}

export const item = (id, signal) => request(`/items/${id}`, { signal });
export const sample = (limit, signal) => request(`/items?limit=${limit}`, { signal });
export const remove = (id) => request(`/items/${id}`, { method: "DELETE" });
export const duplicates = (radius, offset, limit, signal) =>
  request(`/duplicates?${new URLSearchParams({ radius, offset, limit })}`, { signal });
