"""Makes pyjwt.json: one token an algorithm, by PyJWT, with keys made for it alone.

pip install pyjwt==2.15.1 cryptography==50.0.2 && python make.py > pyjwt.json
"""
import json
import secrets
import sys

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

NOW = 1_800_000_000
CLAIMS = {
    "sub": "auth0|py", "tenant_id": "acme", "permissions": ["echo", "tenant.read"],
    "iat": NOW, "nbf": NOW, "exp": NOW + 3600, "iss": "https://id.example.com/", "aud": ["streamer", "other"],
}
rsa_key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
KEYS = {
    **dict.fromkeys(["RS256", "RS384", "RS512", "PS256", "PS384", "PS512"], rsa_key),
    "ES256": ec.generate_private_key(ec.SECP256R1()),
    "ES384": ec.generate_private_key(ec.SECP384R1()),
    "EdDSA": ed25519.Ed25519PrivateKey.generate(),
    "HS256": secrets.token_hex(32),
}
vectors = []
for algorithm, key in KEYS.items():
    vector = {"algorithm": algorithm}
    if isinstance(key, str):
        vector["secret"] = key
    else:
        public = key.public_key()
        vector["pem"] = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo).decode()
        jwk = jwt.get_algorithm_by_name(algorithm).to_jwk(public, as_dict=True)
        vector["jwk"] = {**jwk, "kid": "py-1", "use": "sig"}
    vector["token"] = jwt.encode(CLAIMS, key, algorithm=algorithm, headers={"kid": "py-1"})
    vectors.append(vector)
json.dump({"made_by": f"PyJWT {jwt.__version__}", "user": CLAIMS["sub"], "vectors": vectors}, sys.stdout, indent=1)
print()
