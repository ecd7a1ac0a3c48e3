/** The demo's users: one with two devices at acme, and one of the same id at globex. */
import type { SessionTokens } from "../sessions-client.js";
import { newPassword } from "./demo-deployment.js";
import type { DemoDeployment } from "./demo-deployment.js";

/** The same in both tenants, as a company's own user ids often are. */
const USER_ID = "ann";

export class Person {
  readonly tenant: string;
  readonly user = USER_ID;
  readonly #login: string;
  readonly #password: string;
  readonly #deployment: DemoDeployment;

  private constructor(deployment: DemoDeployment, tenant: string, password: string) {
    this.#deployment = deployment;
    this.tenant = tenant;
    this.#login = `${USER_ID}@${tenant}.example`;
    this.#password = password;
  }

  /** Makes a tenant with Ann in it. */
  static async at(deployment: DemoDeployment, tenant: string): Promise<Person> {
    const { sessions, operator } = deployment;
    const person = new Person(deployment, tenant, newPassword());
    await sessions.createTenant(operator.accessToken, tenant);
    await sessions.createUser(operator.accessToken, tenant, {
      userId: USER_ID,
      login: person.#login,
      password: person.#password,
    });
    return person;
  }

  /** Opens a new session for this device. */
  async logIn(deviceName: string): Promise<SessionTokens> {
    const [tenant, login, password] = [this.tenant, this.#login, this.#password];
    return this.#deployment.sessions.login({ tenant, login, password }, deviceName);
  }
}

export interface Fixtures {
  readonly ann: Person;
  readonly laptop: SessionTokens;
  readonly phone: SessionTokens;
  /** The other Ann, at globex. */
  readonly namesake: SessionTokens;
}

export async function createFixtures(deployment: DemoDeployment): Promise<Fixtures> {
  const [ann, other] = [await Person.at(deployment, "acme"), await Person.at(deployment, "globex")];
  return {
    ann,
    laptop: await ann.logIn("laptop"),
    phone: await ann.logIn("phone"),
    namesake: await other.logIn("desktop"),
  };
}
