/** Kafka keeps the contracts of sources and producers. */
import { producerContract } from "../sources/producer_contract.ts";
import { sourceContract } from "../sources/source_contract.ts";
import { stopKafka } from "./harness/kafka.ts";
import { kafkaWorld } from "./harness/kafka_world.ts";

Deno.test.afterAll(stopKafka);

sourceContract("Kafka", kafkaWorld);
producerContract("Kafka", kafkaWorld);
