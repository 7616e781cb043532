/** Certificates for tests, made by openssl. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface TestCertificate {
  /** Paths of PEM files. */
  readonly certificate: string;
  readonly key: string;
  /** The certificate's text: it signed itself, so it is its own authority. */
  readonly authority: string;
}

/** Writes NAME.pem and NAME-key.pem: a certificate of localhost, 127.0.0.1 and monitor.example.com that signed itself. */
export function makeCertificate(folder: string, name = 'certificate'): TestCertificate {
  const [certificate, key] = [join(folder, `${name}.pem`), join(folder, `${name}-key.pem`)];
  const subject = [
    '-subj',
    `/CN=${name}`,
    '-addext',
    'subjectAltName=DNS:localhost,DNS:monitor.example.com,IP:127.0.0.1',
  ];
  const kind = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '2'];
  execFileSync('openssl', ['req', '-x509', ...kind, ...subject, '-keyout', key, '-out', certificate], {
    stdio: 'pipe',
  });
  return { certificate, key, authority: readFileSync(certificate, 'utf8') };
}
