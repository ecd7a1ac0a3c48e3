import { describe, expect, test } from "@jest/globals";
import { ConfigError } from "../../../../src/runtime/config/config-error.js";
import { VariableReader } from "../../../../src/runtime/config/read-variables.js";
import { VARIABLES, type VariableName } from "../../../../src/cli/variables.js";

/** The words after "must be …: ", or whatever else became of it. */
function detailOf(name: VariableName, text: string): string | undefined {
  const read = new VariableReader(VARIABLES, { [name]: text }, []);
  const value = read.value(name);
  const { faults } = read;
  if (value !== undefined) return "allowed";
  expect(faults).toHaveLength(1);
  const { message } = new ConfigError(faults);
  expect(message).toContain(`${name}="`);
  expect(message).not.toMatch(/hunter2|secret/);
  const start = `must be ${VARIABLES[name].allowed}`;
  expect(faults[0]?.problem.slice(0, start.length)).toBe(start);
  return faults[0]?.problem.slice(start.length + 2);
}

const PERCENT = 'a "%" in it is not followed by two hexadecimal digits: write "%" as %25';
const AFTER = 'there is an "@" after a "/", "?" or "#": percent-encode these (%40 %2F %3F %23)';
const SPACE = "there is white space in it: percent-encode it (a space is %20)";
const HOST = "its host is neither a name nor an address";
const encoded = (part: string) => `its ${part} is not percent-encoded UTF-8 text: write "%" as %25`;
const parameter = (name: string) => `its parameter ${name} has no allowed value`;

describe("a URL that its client could not use is a fault that says what to do", () => {
  test.each([
    ["redis://:hunter2%@redis", PERCENT],
    ["redis://:%hunter2@redis", PERCENT],
    ["redis://hunter%2@redis", PERCENT],
    ["redis://:%ffhunter2@redis", encoded("password")],
    ["redis://%ffhunter2:x@redis", encoded("name")],
    ["redis://:hunter2%00@redis", encoded("password")],
    ["redis://:hunter/2@redis", AFTER],
    ["redis://user:12/hunter2@redis", AFTER],
    ["redis://user:12?hunter2@redis", AFTER],
    ["redis://user:12#hunter2@redis", AFTER],
    ["redis://:hunter 2@redis", SPACE],
    ["redis://:hunter\n2@redis", SPACE],
    ["redis://redis:0", "its port is 0"],
    ["redis://r%65dis", HOST],
    ["redis://redis,other", HOST],
    ["redis://münchen.example", HOST],
  ])("SEKISHO_REDIS_URL=%j", (text, detail) => {
    expect(detailOf("SEKISHO_REDIS_URL", text)).toBe(detail);
  });

  test.each([
    ["postgres://me:hunter2%@db/sekisho", PERCENT],
    ["postgres://me:hunter2%zz@db/sekisho", PERCENT],
    ["postgres://me:hunter2%4@db/sekisho", PERCENT],
    ["postgres://me:hunter2%@/sekisho?host=/run/postgresql", PERCENT],
    ["postgres://me:%ffhunter2@db/sekisho", encoded("password")],
    ["postgres://%ff:hunter2@db/sekisho", encoded("name")],
    ["postgres://me:hunter2@db/%ff", encoded("path")],
    ["postgres://db/sekisho?user=%ff", encoded("query")],
    ["postgres://me:12/hunter2@db/sekisho", AFTER],
    ["postgres://me:12?hunter2@db/sekisho", AFTER],
    ["postgres://me:12#hunter2@db/sekisho", AFTER],
    ["postgres://me:hunter 2%2F@db/sekisho", SPACE],
    ["postgres://db:0/sekisho", "its port is 0"],
    ["postgres://one,two/sekisho", HOST],
    ["postgres:///sekisho?host=/run/postgresql&port=65536", parameter("port")],
    ["postgres:///sekisho?port=0&host=/run/postgresql", parameter("port")],
    ["postgres:///sekisho?host=", parameter("host")],
    ["postgres://db/sekisho?sslmode=verify_full", parameter("sslmode")],
    ["postgres://db/sekisho?ssl=false", parameter("ssl")],
    ["postgres://db/sekisho?sslnegotiation=tls", parameter("sslnegotiation")],
    ["postgres://db/sekisho?sslmode=disable&sslmode=require", "its parameter sslmode occurs twice"],
    [
      "postgres://db/sekisho?sslmode=verify-ca&uselibpqcompat=true",
      "its sslmode verify-ca needs sslrootcert",
    ],
    [
      "postgres://db/sekisho?sslnegotiation=direct&ssl=0",
      "its sslnegotiation direct needs TLS, which is turned off",
    ],
  ])("SEKISHO_DATABASE_URL=%j", (text, detail) => {
    expect(detailOf("SEKISHO_DATABASE_URL", text)).toBe(detail);
  });

  test("SEKISHO_DATABASE_URL names a parameter that would be ignored, and those that there are", () => {
    const detail = detailOf("SEKISHO_DATABASE_URL", "postgres://db/s?sslmod=verify-full");
    expect(detail).toMatch(/^it has the parameter sslmod, which is not known; allowed are host, /);
    // A name that is none may be a part of a password.
    const other = detailOf("SEKISHO_DATABASE_URL", "postgres://db/s?!hunter2=1");
    expect(other).toMatch(/^it has a parameter, which is not known; /);
  });

  test.each([
    ["https://me:hunter2%@issuer.example/", encoded("password")],
    ["https://hunter%2:x@issuer.example/", encoded("name")],
    ["https://issuer.example:0/", "its port is 0"],
    ["https://issuer.example/a b", SPACE],
  ])("SEKISHO_JWKS_URL=%j", (text, detail) => {
    expect(detailOf("SEKISHO_JWKS_URL", text)).toBe(detail);
  });

  test.each([
    ["https://me:hunter2@sessions.example", "it may hold no name and no password"],
    ["https://sessions.example/api", "nothing may follow host and port"],
    ["https://sessions.example?a=b", "nothing may follow host and port"],
    ["https://sessions.example#a", "nothing may follow host and port"],
    ["http://sessions.example:0", "its port is 0"],
  ])("SEKISHO_SESSIONS_URL=%j", (text, detail) => {
    expect(detailOf("SEKISHO_SESSIONS_URL", text)).toBe(detail);
  });

  test.each(["a b", "a\nb", "tokén"])("SEKISHO_SESSIONS_TOKEN=%j is not shown", (text) => {
    const read = new VariableReader(VARIABLES, { SEKISHO_SESSIONS_TOKEN: text }, []);
    expect(read.value("SEKISHO_SESSIONS_TOKEN")).toBeUndefined();
    expect(read.faults).toMatchObject([{ where: "SEKISHO_SESSIONS_TOKEN", value: "***" }]);
  });
});

test.each([
  ["SEKISHO_DATABASE_URL", "postgres://%2Frun%2Fpostgresql/sekisho"],
  ["SEKISHO_DATABASE_URL", "postgres://me:p%40%25@db_1.svc:65535/sekisho%20x"],
  ["SEKISHO_DATABASE_URL", "postgres://me@localhost:5432/a?host=%2Ftmp%2Fpg&port=65535"],
  ["SEKISHO_DATABASE_URL", "postgresql://[::1]:5432/sekisho?sslmode=verify-full&user=a%40b"],
  ["SEKISHO_DATABASE_URL", "postgres://db/s?ssl=no-verify&application_name=x&options=-c%20a%3Db"],
  ["SEKISHO_SESSIONS_URL", "http://[::1]:9180/"],
] as const)("%s=%j is allowed", (name, text) => {
  expect(detailOf(name, text)).toBe("allowed");
});
