// A certified OpenID provider (`oidc-provider`) for machine clients: `oidc_provider.mjs PORT AUDIENCE`.
// It issues access tokens in the form of RFC 9068 to the client `agent`. Besides what the provider serves:
//   POST /test/keys?published=a,b   publishes these keys and signs with the first one
//   GET  /test/fetches              returns how often its keys were fetched
// The packages stand beside the installed tools, not beside this file: CLIENTS says where.
import { generateKeyPairSync } from 'node:crypto';
import { createServer } from 'node:http';
import { createRequire } from 'node:module';

const Provider = createRequire(`${process.env.CLIENTS}/`)('oidc-provider').default;
const [port, audience] = process.argv.slice(2);
const issuer = `http://127.0.0.1:${port}`;
const keys = new Map();

function key(kid) {
  if (!keys.has(kid)) {
    const { privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });
    keys.set(kid, { ...privateKey.export({ format: 'jwk' }), kid, use: 'sig', alg: 'ES256' });
  }
  return keys.get(kid);
}

function provider(published) {
  const made = new Provider(issuer, {
    jwks: { keys: published.map(key) },
    clients: [
      {
        client_id: 'agent',
        client_secret: 'a-secret-of-this-test-only-and-of-nothing-else',
        grant_types: ['client_credentials'],
        redirect_uris: [],
        response_types: [],
        id_token_signed_response_alg: 'ES256',
      },
    ],
    features: {
      clientCredentials: { enabled: true },
      devInteractions: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => 'urn:toolgate',
        getResourceServerInfo: () => ({
          scope: 'mcp',
          audience,
          accessTokenFormat: 'jwt',
          accessTokenTTL: 600,
          jwt: { sign: { alg: 'ES256' } },
        }),
      },
    },
    scopes: ['mcp'],
    extraTokenClaims: () => ({ groups: ['mcp-users'] }),
  });
  return made.callback();
}

let answer = provider(['a']);
let fetches = 0;

createServer((request, response) => {
  const url = new URL(request.url, issuer);
  if (url.pathname === '/test/keys' && request.method === 'POST') {
    answer = provider(url.searchParams.get('published').split(','));
    response.end();
    return;
  }
  if (url.pathname === '/test/fetches') {
    response.end(String(fetches));
    return;
  }
  fetches += Number(url.pathname === '/jwks');
  answer(request, response);
}).listen(Number(port), '127.0.0.1');
