/**
 * The URLs of PostgreSQL and HTTP servers, and what is wrong with any URL. Clients read parts of them only when they connect:
 * then some fail without naming a setting, and others connect to the wrong server. So the whole URL
 * is checked here, before anything starts.
 */

/** What is wrong with a URL; without `detail`, its whole form is wrong. */
export interface UrlFault {
  /** Words that follow "must be …:". Shows neither user nor password. */
  readonly detail: string | undefined;
}

export const OTHER_FORM: UrlFault = { detail: undefined };

/** `postgres://`, also without a host (`postgres://user@/db?host=/run/postgresql`, a Unix socket). */
export function faultOfDatabaseUrl(text: string): UrlFault | undefined {
  if (!/^postgres(ql)?:\/\//.test(text)) return OTHER_FORM;
  const url = parsed(withHost(text));
  if (url === undefined || url.hash !== "") return formFault(text);
  if (`${url.pathname}${url.search}`.includes("@")) return formFault(text);
  return faultOfParts(text, url) ?? faultOfParameters(url.searchParams);
}

/** `https://` or `http://`. Path and query are sent as they are, user and password decoded. */
export function faultOfHttpUrl(text: string): UrlFault | undefined {
  const url = parsed(text);
  if (url === undefined || !["https:", "http:"].includes(url.protocol)) return OTHER_FORM;
  const { username, password } = url;
  return faultOfText(text) ?? faultOfEncoding({ name: username, password }) ?? faultOfPort(url);
}

/** The address of a service: a path or query would be ignored. */
export function faultOfServiceUrl(text: string): UrlFault | undefined {
  const fault = faultOfHttpUrl(text);
  if (fault !== undefined) return fault;
  const { username, password, pathname, search, hash } = new URL(text);
  if (username !== "" || password !== "") return { detail: "it may hold no name and no password" };
  if (pathname !== "/" || search !== "" || hash !== "") {
    return { detail: "nothing may follow host and port" };
  }
  return undefined;
}

/** Whether a PostgreSQL URL holds a password, wherever. */
export function databaseUrlHasPassword(text: string): boolean {
  const { password, searchParams } = new URL(withHost(text));
  return password !== "" || searchParams.has("password");
}

/** As a parameter, because a URL without a host cannot hold a password before it. */
export function databaseUrlWithPassword(text: string, password: string): string {
  const separator = text.includes("?") ? "&" : "?";
  return `${text}${separator}password=${encodeURIComponent(password)}`;
}

/** The files that a PostgreSQL URL names, by parameter. */
export function databaseUrlFiles(text: string): readonly (readonly [string, string])[] {
  const { searchParams } = new URL(withHost(text));
  return ["sslcert", "sslkey", "sslrootcert"].flatMap((name) => {
    const path = searchParams.get(name);
    return path === null ? [] : [[name, path] as const];
  });
}

export function parsed(text: string): URL | undefined {
  return URL.canParse(text) ? new URL(text) : undefined;
}

function withHost(text: string): string {
  return text.replace("@/", "@localhost/");
}

/** A slash in a password would end the URL's authority. */
export function formFault(text: string): UrlFault {
  const percent = faultOfPercents(text);
  if (percent !== undefined) return percent;
  return /[/?#].*@/s.test(text.replace(/^\w+:\/\//, ""))
    ? { detail: 'there is an "@" after a "/", "?" or "#": percent-encode these (%40 %2F %3F %23)' }
    : OTHER_FORM;
}

function faultOfPercents(text: string): UrlFault | undefined {
  return /%(?![0-9a-f]{2})/i.test(text)
    ? { detail: 'a "%" in it is not followed by two hexadecimal digits: write "%" as %25' }
    : undefined;
}

export function faultOfParts(text: string, url: URL): UrlFault | undefined {
  const { username, password, hostname, pathname, search } = url;
  const parts = { name: username, password, host: hostname, path: pathname, query: search };
  return (
    faultOfText(text) ??
    faultOfPercents(text) ??
    faultOfEncoding(parts) ??
    faultOfPort(url) ??
    (isHost(hostname) ? undefined : { detail: "its host is neither a name nor an address" })
  );
}

/** Clients drop some white space, and PostgreSQL's then decodes the rest differently. */
function faultOfText(text: string): UrlFault | undefined {
  return /[\s\p{Cc}]/u.test(text)
    ? { detail: "there is white space in it: percent-encode it (a space is %20)" }
    : undefined;
}

function faultOfEncoding(parts: Readonly<Record<string, string>>): UrlFault | undefined {
  const wrong = Object.keys(parts).find((part) => {
    const decoded = decode(parts[part] ?? "");
    return decoded === undefined || decoded.includes("\0");
  });
  if (wrong === undefined) return undefined;
  return { detail: `its ${wrong} is not percent-encoded UTF-8 text: write "%" as %25` };
}

function faultOfPort({ port }: URL): UrlFault | undefined {
  return port === "0" ? { detail: "its port is 0" } : undefined;
}

function decode(text: string): string | undefined {
  try {
    return decodeURIComponent(text);
  } catch {
    return undefined;
  }
}

/** A name, an address, or PostgreSQL's folder of a Unix socket. */
function isHost(host: string): boolean {
  return host === "" || /^(\[[0-9a-f:.]+\]|[\w.-]+|%2f[^/]*)$/i.test(host);
}

const anything = (): boolean => true;
const oneOf = (...values: readonly string[]) => {
  return (value: string): boolean => values.includes(value);
};

/** What PostgreSQL's client takes from the query, but for the times, which the program bounds. */
const PARAMETERS: Readonly<Record<string, (value: string) => boolean>> = {
  host: (value) => value !== "",
  port: (value) => /^[1-9][0-9]{0,4}$/.test(value) && Number(value) <= 65_535,
  user: anything,
  password: anything,
  ssl: oneOf("true", "1", "0", "no-verify"),
  sslmode: oneOf("disable", "prefer", "require", "verify-ca", "verify-full", "no-verify"),
  sslcert: anything,
  sslkey: anything,
  sslrootcert: anything,
  sslnegotiation: oneOf("postgres", "direct"),
  uselibpqcompat: oneOf("true", "false"),
  application_name: anything,
  fallback_application_name: anything,
  client_encoding: anything,
  options: anything,
};

/** A mistyped `sslmode` would be ignored, and the connection would have no TLS. */
function faultOfParameters(parameters: URLSearchParams): UrlFault | undefined {
  const names = [...parameters.keys()];
  for (const [name, value] of parameters) {
    const isAllowed = Object.hasOwn(PARAMETERS, name) ? PARAMETERS[name] : undefined;
    if (isAllowed === undefined) {
      const shown = /^[a-z_]{1,40}$/i.test(name) ? `the parameter ${name}` : "a parameter";
      const known = Object.keys(PARAMETERS).join(", ");
      return { detail: `it has ${shown}, which is not known; allowed are ${known}` };
    }
    if (!isAllowed(value)) return { detail: `its parameter ${name} has no allowed value` };
    if (names.indexOf(name) !== names.lastIndexOf(name)) {
      return { detail: `its parameter ${name} occurs twice` };
    }
  }
  return faultOfTls(parameters);
}

/** Combinations that the client would refuse at each connection. */
function faultOfTls(parameters: URLSearchParams): UrlFault | undefined {
  const mode = parameters.get("sslmode");
  const isLibpq = parameters.get("uselibpqcompat") === "true";
  if (isLibpq && mode === "verify-ca" && !parameters.has("sslrootcert")) {
    return { detail: "its sslmode verify-ca needs sslrootcert" };
  }
  const isOff = mode === "disable" || parameters.get("ssl") === "0";
  if (isOff && parameters.get("sslnegotiation") === "direct") {
    return { detail: "its sslnegotiation direct needs TLS, which is turned off" };
  }
  return undefined;
}
