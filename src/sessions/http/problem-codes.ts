/**
 * Every `code` that the API may answer. Clients rely on it, so a code never changes its meaning.
 * 4xx is the client's fault, 5xx the system's.
 */
export const PROBLEMS = {
  request_invalid: { status: 400, title: "The request does not match the API's description" },
  password_unacceptable: { status: 400, title: "The password is not acceptable" },
  token_missing: { status: 401, title: "An access token is needed" },
  invalid_token: { status: 401, title: "The access token is not valid" },
  bad_credentials: { status: 401, title: "The login or the password is wrong" },
  account_locked: { status: 401, title: "Too many failed logins: the account is locked for now" },
  account_disabled: { status: 401, title: "The account is disabled" },
  refresh_token_invalid: { status: 401, title: "The refresh token is not valid" },
  refresh_token_reused: {
    status: 401,
    title: "The refresh token has been used before: its session was ended",
  },
  session_ended: { status: 401, title: "The session has ended" },
  scope_insufficient: { status: 403, title: "The access token does not allow this" },
  not_found: { status: 404, title: "Not found" },
  route_unknown: { status: 404, title: "The API has no such path" },
  method_not_allowed: { status: 405, title: "The path does not have this method" },
  request_timeout: { status: 408, title: "The request took too long to arrive" },
  tenant_exists: { status: 409, title: "A tenant with this id already exists" },
  user_id_exists: { status: 409, title: "A user with this id already exists" },
  login_exists: { status: 409, title: "A user with this login already exists" },
  last_operator: { status: 409, title: "The last enabled operator cannot be disabled" },
  body_too_large: { status: 413, title: "The body is too large" },
  media_type_unsupported: { status: 415, title: "The body must be application/json" },
  rate_limited: { status: 429, title: "Too many attempts" },
  headers_too_large: { status: 431, title: "The request's headers are too large" },
  internal_error: { status: 500, title: "Internal error in the session service" },
  database_unavailable: { status: 503, title: "The database cannot be reached" },
  keys_unavailable: { status: 503, title: "No signing key is available" },
  log_unavailable: { status: 503, title: "The revocation log cannot be read" },
  overloaded: { status: 503, title: "The service is overloaded" },
  starting: { status: 503, title: "The service is starting" },
  stopping: { status: 503, title: "The service is stopping" },
} as const satisfies Readonly<Record<string, { readonly status: number; readonly title: string }>>;

export type ProblemCode = keyof typeof PROBLEMS;

function isProblemCode(text: string): text is ProblemCode {
  return Object.hasOwn(PROBLEMS, text);
}

export const PROBLEM_CODES: readonly ProblemCode[] = Object.keys(PROBLEMS).filter(isProblemCode);
