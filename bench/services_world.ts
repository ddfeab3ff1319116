/** Pipelines over a Kafka, a MinIO and a ClickHouse that the bench starts, as the service tests do. */
import { Stack } from "../tests/services/harness/stack.ts";
import type { Env, World } from "./world.ts";

/** See the file's comment. */
export class ServicesWorld implements World, AsyncDisposable {
  readonly over: string = "Kafka, MinIO, ClickHouse over HTTP";
  readonly services: boolean = true;
  #pipelines = 0;

  private constructor(private readonly folder: string, private readonly stack: Stack) {}

  static async start(folder: string): Promise<ServicesWorld> {
    return new ServicesWorld(folder, await Stack.start());
  }

  newPipeline(): Promise<Env> {
    return Promise.resolve(this.stack.newPipeline(`${this.folder}/${++this.#pipelines}`));
  }

  again(env: Env): Promise<Env> {
    return Promise.resolve(this.stack.newPipeline(`${this.folder}/${++this.#pipelines}`, env.KAFKA_TOPIC));
  }

  async intoEmbeddedSinks(env: Env): Promise<Env> {
    const variables = Object.entries(await this.again(env));
    return Object.fromEntries(variables.filter(([name]) => !/^(S3|CLICKHOUSE)_/.test(name)));
  }

  [Symbol.asyncDispose](): Promise<void> {
    return this.stack[Symbol.asyncDispose]();
  }
}
