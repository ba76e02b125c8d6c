// Makes npm.json: one token an algorithm, by npm `jsonwebtoken` (`jose` for EdDSA, which the former lacks).
// npm install jsonwebtoken@9 jose@6 && node make.mjs > npm.json
import { generateKeyPairSync, randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { SignJWT } from "jose";
import jwt from "jsonwebtoken";

const NOW = 1_800_000_000;
const claims = {
  sub: "auth0|npm", tenant_id: "acme", permissions: ["echo", "tenant.read"],
  iat: NOW, nbf: NOW, exp: NOW + 3600, iss: "https://id.example.com/", aud: ["streamer", "other"],
};
const rsa = generateKeyPairSync("rsa", { modulusLength: 2048 });
const keys = {
  RS256: rsa, RS384: rsa, RS512: rsa, PS256: rsa, PS384: rsa, PS512: rsa,
  ES256: generateKeyPairSync("ec", { namedCurve: "P-256" }),
  ES384: generateKeyPairSync("ec", { namedCurve: "P-384" }),
  EdDSA: generateKeyPairSync("ed25519"),
};
const vectors = [];
for (const [algorithm, { privateKey, publicKey }] of Object.entries(keys)) {
  const token = algorithm === "EdDSA"
    ? await new SignJWT(claims).setProtectedHeader({ alg: algorithm, typ: "JWT", kid: "npm-1" }).sign(privateKey)
    : jwt.sign(claims, privateKey, { algorithm, keyid: "npm-1" });
  vectors.push({
    algorithm,
    pem: publicKey.export({ type: "spki", format: "pem" }),
    jwk: { ...publicKey.export({ format: "jwk" }), kid: "npm-1", use: "sig" },
    token,
  });
}
const secret = randomBytes(32).toString("hex");
vectors.push({ algorithm: "HS256", secret, token: jwt.sign(claims, secret, { algorithm: "HS256", keyid: "npm-1" }) });
const version = (name) => JSON.parse(readFileSync(`node_modules/${name}/package.json`)).version;
const made_by = `npm jsonwebtoken ${version("jsonwebtoken")}, jose ${version("jose")}`;
console.log(JSON.stringify({ made_by, user: claims.sub, vectors }, null, 1));
