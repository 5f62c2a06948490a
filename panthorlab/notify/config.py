# SPDX-License-Identifier: GPL-2.0-or-later
"""The `notify:` section of a YAML file: where notices go. Secrets are named in it, never written."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated, Any, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from panthorlab.board.fields import AbsolutePath, Host, Port, Section, VariableName
from panthorlab.board.yamlfile import load, read_yaml


def _url(text: str) -> str:
    try:
        parts = urlsplit(text)
        known = parts.hostname and (parts.port is None or parts.port)
    except ValueError as error:
        raise ValueError(f"is no URL: {error}") from None
    if not known:
        raise ValueError("is no URL: it names no host")
    return text


HookUrl = Annotated[str, Field(pattern=r"^https?://[^\s@\\\x00-\x1f]+$", max_length=2000), AfterValidator(_url)]
"""Without user and password: these are secrets."""
MailAddress = Annotated[
    str, Field(pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9](?:[A-Za-z0-9.-]{0,252}[A-Za-z0-9])?$")
]
HeaderName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9-]*$", max_length=100)]
HookSeconds = Annotated[float, Field(gt=0, le=600)]
HookTries = Annotated[int, Field(ge=1, le=10)]


class SecretSource(Section):
    """Where a secret is: an environment variable, or a file that others cannot read."""

    env: VariableName | None = Field(None, description="environment variable that holds it")
    file: AbsolutePath | None = Field(None, description="file that holds it, e.g. a credential of systemd's")

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.env is None) == (self.file is None):
            raise ValueError("give `env` or `file`, one of both")
        return self


class Webhook(Section):
    """A server that takes notices as JSON in a POST."""

    url: HookUrl | None = Field(None, description="where it listens")
    url_from: SecretSource | None = Field(None, description="the same, where the URL itself is a secret")
    token: SecretSource | None = Field(None, description="secret that the server wants to see in a header")
    token_header: HeaderName = Field(
        "Authorization", description="that header; in `Authorization`, the token comes behind `Bearer`"
    )
    sign: SecretSource | None = Field(
        None, description="key of a signature as of Standard Webhooks: HMAC-SHA256 of id, time and body"
    )
    payload: Literal["full", "text"] = Field(
        "full", description="`text`: only `text`, for chat servers that refuse keys they do not know"
    )
    when: Literal["always", "bad"] | None = Field(None, description="instead of the section's")
    timeout: HookSeconds = Field(30, description="seconds that all tries may take together")
    tries: HookTries = Field(3, description="of a server that cannot be reached, or says that it is busy")
    ca_file: AbsolutePath | None = Field(None, description="certificates to trust instead of the system's")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.url is None) == (self.url_from is None):
            raise ValueError("give `url` or `url_from`, one of both")
        if self.url is not None and self.token is not None and not secret_may_go_to(self.url):
            raise ValueError("a `token` needs an https:// URL: on the way everybody could read it")
        return self


class MailRoute(Section):
    """A mail server, and whom it is to write to. Nobody else ever gets mail: no address is taken from a patch."""

    host: Host = Field(description="of the mail server")
    port: Port | None = Field(None, description="default: 587 with `starttls`, 465 with `tls`, 25 with `none`")
    security: Literal["starttls", "tls", "none"] = "starttls"
    user: Annotated[str, Field(pattern=r"^[^\x00-\x1f]+$", max_length=200)] | None = None
    password: SecretSource | None = None
    sender: MailAddress
    to: Annotated[list[MailAddress], Field(min_length=1, max_length=20)]
    when: Literal["always", "bad"] | None = Field(None, description="instead of the section's")
    timeout: HookSeconds = Field(60, description="seconds that all tries may take together")
    tries: HookTries = 3
    ca_file: AbsolutePath | None = Field(None, description="certificates to trust instead of the system's")

    @model_validator(mode="after")
    def _whole(self) -> Self:
        if (self.user is None) != (self.password is None):
            raise ValueError("`user` and `password` belong together")
        if self.password is not None and self.security == "none":
            raise ValueError("a `password` needs `security: starttls` or `tls`")
        return self


class NotifySection(Section):
    """Where notices go, and which. Empty: nowhere."""

    when: Literal["always", "bad"] = Field("bad", description="`bad`: only if the exit status is not 0")
    link: HookUrl | None = Field(
        None, description="where reports can be read; `{name}` is the name of the run's or night's directory"
    )
    webhooks: list[Webhook] = Field([], max_length=10)
    mail: MailRoute | None = None


class NotifyFile(Section):
    """A file with such a section."""

    notify: NotifySection


def read_config(file: Path) -> NotifySection:
    """The `notify:` section of `file`; what else is in it is for others. Raises ConfigError with file:line:column."""
    data, places = read_yaml(file)
    own: dict[str, Any] = {key: value for key, value in data.items() if key == "notify"}
    return load(file, NotifyFile, own, places).notify


def secret_may_go_to(url: str) -> bool:
    """Whether nobody on the way can read what is sent there."""
    parts = urlsplit(url)
    if parts.scheme == "https" or parts.hostname == "localhost":
        return True
    try:
        return ipaddress.ip_address(parts.hostname or "").is_loopback
    except ValueError:
        return False
