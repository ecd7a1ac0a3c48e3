import { expect, test } from "@jest/globals";

import { DatabaseError } from "../../../../src/sessions/database/database.js";
import { SigningKeyError } from "../../../../src/sessions/keys/signing-key-error.js";
import { PasswordHasherError } from "../../../../src/sessions/passwords/password-hasher.js";
import { faultOf } from "../../../../src/sessions/login/system-fault.js";

test.each([
  ["database", new DatabaseError("unavailable", "away")],
  ["database", new DatabaseError("failed_over", "another timeline")],
  ["internal", new DatabaseError("not_allowed", "a bug")],
  ["hashing_queue", new PasswordHasherError("queue_full", "too many")],
  ["hashing_queue", new PasswordHasherError("closed", "shutting down")],
  ["internal", new PasswordHasherError("hash_unreadable", "damaged")],
  ["keys", new SigningKeyError("no_key", "none")],
  ["internal", new TypeError("a bug")],
  ["internal", "not even an error"],
])("names %s as the part that was at fault", (fault, error) => {
  expect(faultOf(error)).toBe(fault);
});
