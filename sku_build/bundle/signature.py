# SPDX-License-Identifier: GPL-2.0-only
"""Signatures by ``ssh-keygen -Y``: no network, no service, and a target has it already.

Format: PROTOCOL.sshsig of OpenSSH. The namespace keeps a signature that was made for anything else
from being taken for one of a bundle.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Sequence
from pathlib import Path

from sku_build import run
from sku_build.errors import CheckError, UserError

NAMESPACE = "sku-bundle"
_SIGNER = "sku"
_KEY_TYPES = ("ssh-ed25519 ", "ecdsa-sha2-", "sk-ssh-", "sk-ecdsa-", "ssh-rsa ")
# Where ssh-keygen looks for an agent, and for who asks for a passphrase.
_KEPT = ("SSH_AUTH_SOCK", "SSH_ASKPASS", "SSH_ASKPASS_REQUIRE", "DISPLAY", "WAYLAND_DISPLAY")


def sign(data: bytes, key: Path) -> bytes:
    """Return the signature of ``data`` by the private ``key``, or by the agent's for a ``.pub``.

    An Ed25519 key gives the same signature each time. Raises UserError when the key cannot be used.
    """
    if not key.is_file():
        raise UserError(
            "there is no such key",
            where=key,
            hint="make one: ssh-keygen -t ed25519 -f FILE -C NAME",
        )
    with tempfile.TemporaryDirectory(prefix="sku-sign-") as name:
        message = Path(name, "message")
        message.write_bytes(data)
        env = {name: os.environ[name] for name in _KEPT if name in os.environ}
        argv = ["ssh-keygen", "-q", "-Y", "sign", "-n", NAMESPACE, "-f", str(key), str(message)]
        done = run.run(argv, env=env, check=False)
        made = message.with_suffix(".sig")
        if done.status != 0 or not made.is_file():
            said = (done.stderr.strip() or "ssh-keygen said nothing").splitlines()[-1]
            raise UserError(
                f"cannot sign with this key: {said}",
                where=key,
                hint="a private key of ssh-keygen; or the .pub of one that the ssh-agent holds",
            )
        return made.read_bytes()


def public_keys(paths: Sequence[Path]) -> list[str]:
    """Return the public keys in ``paths``: files as ``ssh-keygen`` makes them, or directories.

    Of a directory it is every ``*.pub``. Raises UserError for a file that holds anything else, and
    when there is no key at all.
    """
    files = [
        file for path in paths for file in (sorted(path.glob("*.pub")) if path.is_dir() else [path])
    ]
    keys: list[str] = []
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read the key: {error}", where=file) from error
        for number, line in enumerate(map(str.strip, lines), 1):
            if line and not line.startswith("#"):
                if not line.startswith(_KEY_TYPES):
                    raise UserError(
                        "this is not a public key of ssh-keygen",
                        where=f"{file}:{number}",
                        hint="give the .pub, one key a line",
                    )
                keys.append(line)
    if not keys:
        raise UserError(
            "there is no trusted key to verify with",
            where=", ".join(map(str, paths)) or None,
            hint="--key FILE.pub, or a directory of such files",
        )
    return keys


def verify(data: bytes, signature: bytes, keys: Sequence[str], where: str) -> str:
    """Return the fingerprint of the one of the public ``keys`` that signed ``data``.

    Raises CheckError, naming ``where``, when it was none of them.
    """
    text = data.decode("ascii", "replace")
    with tempfile.TemporaryDirectory(prefix="sku-verify-") as name:
        signed, allowed = Path(name, "sig"), Path(name, "allowed")
        signed.write_bytes(signature)
        allowed.write_text("".join(f'{_SIGNER} namespaces="{NAMESPACE}" {key}\n' for key in keys))
        common = ("-n", NAMESPACE, "-s", signed)
        done = run.run(
            ["ssh-keygen", "-Y", "verify", "-f", allowed, "-I", _SIGNER, *common],
            stdin=text,
            check=False,
        )
        if done.status == 0:
            return done.stdout.split()[-1]
        alone = run.run(["ssh-keygen", "-Y", "check-novalidate", *common], stdin=text, check=False)
    if alone.status == 0:
        raise CheckError(
            f"the bundle is signed by a key that is not trusted: {alone.stdout.split()[-1]}",
            where=where,
            hint="--key names the keys to trust",
        )
    raise CheckError(
        "the signature is not one of this list of files",
        where=where,
        hint="fetch the bundle again; do not use it",
    )
