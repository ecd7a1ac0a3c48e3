/**
 * Problems as they are answered (RFC 9457), and the one conversion of thrown errors into them. The
 * client's faults are decided by handlers; what is thrown is the system's fault, except for what
 * Fastify refuses before a handler is called.
 */
import type { z } from "zod";
import { DatabaseError } from "../database/database.js";
import { SigningKeyError } from "../keys/signing-key-error.js";
import { PasswordHasherError } from "../passwords/password-hasher.js";
import { PROBLEMS, type ProblemCode } from "./problem-codes.js";

export interface Problem {
  readonly code: ProblemCode;
  /** For people; says nothing about the service's internals. */
  readonly detail?: string;
  /** The invalid fields, and what is wrong with each. */
  readonly errors?: readonly FieldProblem[];
  /** Seconds, for `Retry-After`. */
  readonly retryAfterS?: number;
  /** For `Allow`. */
  readonly allow?: readonly string[];
}

export interface FieldProblem {
  /** Its name, with dots for nested fields. */
  readonly field: string;
  /** A sentence for people, or a stable code where the API names one. */
  readonly problem: string;
}

/** RFC 9457, section 3. */
export interface ProblemBody {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly code: ProblemCode;
  readonly detail?: string;
  readonly errors?: readonly FieldProblem[];
}

export function problemBody({ code, detail, errors }: Problem): ProblemBody {
  const { status, title } = PROBLEMS[code];
  return {
    type: `urn:sekisho:problem:${code}`,
    title,
    status,
    code,
    ...(detail === undefined ? {} : { detail }),
    ...(errors === undefined ? {} : { errors }),
  };
}

/** `Retry-After` for a fault of the system, where nothing better is known. */
export const RETRY_AFTER_S = 1;

export function invalidField(field: string, problem: string): Problem {
  return { code: "request_invalid", errors: [{ field, problem }] };
}

export function problemOf(error: unknown): Problem {
  const code = systemFault(error);
  if (code === undefined) return frameworkRefusal(error) ?? { code: "internal_error" };
  return PROBLEMS[code].status === 503 ? { code, retryAfterS: RETRY_AFTER_S } : { code };
}

/** The body is not a JSON object. The message is for the caller. */
export class BodyError extends Error {
  override readonly name = "BodyError";
}

function systemFault(error: unknown): ProblemCode | undefined {
  if (error instanceof DatabaseError) {
    const passes = error.code === "unavailable" || error.code === "failed_over";
    return passes ? "database_unavailable" : "internal_error";
  }
  if (error instanceof PasswordHasherError) {
    return error.code === "hash_unreadable" ? "internal_error" : "overloaded";
  }
  if (error instanceof SigningKeyError) {
    return error.code === "overloaded" ? "overloaded" : "keys_unavailable";
  }
  return undefined;
}

/** What Fastify and its parsers refuse, with a status of their own. */
function frameworkRefusal(error: unknown): Problem | undefined {
  if (error instanceof BodyError) return invalidField("body", error.message);
  if (!(error instanceof Error) || !("code" in error) || !("statusCode" in error)) return undefined;
  switch (error.statusCode) {
    case 413:
      return { ...invalidField("body", "is too large"), code: "body_too_large" };
    case 415: {
      const problem = "must be application/json";
      return { ...invalidField("content-type", problem), code: "media_type_unsupported" };
    }
    case 400:
    case 414:
      return error.code === "FST_ERR_BAD_URL" || error.code === "FST_ERR_MAX_PARAM_LENGTH"
        ? invalidField("path", "cannot be decoded or is too long")
        : invalidField("body", "did not arrive as announced");
    default:
      return undefined;
  }
}

/** zod's messages for wrong types, without its own names for them. */
export const IN_OUR_WORDS: z.core.ParseContext<z.core.$ZodIssue> = {
  error: (issue) => {
    if (issue.code !== "invalid_type") return undefined;
    return issue.input === undefined ? "is missing" : `must be of type ${issue.expected}`;
  },
};

/** What is wrong with each field; empty if nothing is. */
export function fieldProblems(error: z.ZodError | undefined): readonly FieldProblem[] {
  return (error?.issues ?? []).flatMap((issue) =>
    issue.code === "unrecognized_keys"
      ? issue.keys.map((key) => ({
          field: named([...issue.path, key]),
          problem: "is not a known field",
        }))
      : [{ field: named(issue.path), problem: issue.message }],
  );
}

/** Clients may send field names of any length; an answer repeats only the beginning. */
const NAME_MAX_CHARACTERS = 100;

function named(path: readonly PropertyKey[]): string {
  const name = path.map(String).join(".");
  return name === "" ? "body" : name.slice(0, NAME_MAX_CHARACTERS).toWellFormed();
}
