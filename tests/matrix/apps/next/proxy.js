// Next writes scripts into its pages. A nonce for each answer lets those run, and no others.
import { NextResponse } from "next/server";

export function proxy(request) {
  const nonce = btoa(crypto.randomUUID());
  const policy = `default-src 'self'; script-src 'self' 'nonce-${nonce}' 'wasm-unsafe-eval'; connect-src 'self' ws://127.0.0.1:*`;
  const headers = new Headers(request.headers);
  // Next reads the nonce from here.
  headers.set("content-security-policy", policy);
  const response = NextResponse.next({ request: { headers } });
  response.headers.set("content-security-policy", policy);
  return response;
}
