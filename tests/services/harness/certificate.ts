/** Certificates of the tests' own. */
import { runTool } from "./cache.ts";
import type { TlsIdentity } from "./fault_proxy.ts";

/** A certificate for 127.0.0.1 that vouches for itself, and the file that a client names to trust it. */
export async function selfSigned(folder: string): Promise<TlsIdentity & { readonly caPath: string }> {
  const [caPath, keyPath] = [`${folder}/ca.pem`, `${folder}/key.pem`];
  const key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-keyout", keyPath];
  const subject = ["-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1", "-days", "2"];
  await runTool("openssl", {
    args: ["req", "-x509", ...key, "-out", caPath, ...subject],
    otherwise: "install OpenSSL 1.1.1 or newer.",
  });
  return { cert: await Deno.readTextFile(caPath), key: await Deno.readTextFile(keyPath), caPath };
}
