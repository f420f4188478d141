"""Channel: where people are told, and of what. Secrets are named here, and stand elsewhere."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from muster.kinds.alert_reason import AlertReason, AlertSeverity
from muster.kinds.digest import Name
from muster.kinds.owners import Login
from muster.kinds.resource import AsTuple, Declared, Resource

SecretVariable = Annotated[str, StringConstraints(pattern=r"^MUSTER_ALERT_[A-Z0-9_]{1,100}$")]
"""An environment variable of the controller. The prefix keeps a declaration from reaching for any other of its
secrets."""

Url = Annotated[str, StringConstraints(pattern=r"^https?://[!-~]+$", max_length=2_000)]

RepositoryName = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9-]{1,100}/[A-Za-z0-9._-]{1,100}$", max_length=201)
]


class Secret(Declared):
    """Where the controller finds a secret: an environment variable, or a file of `alerts/` in its state folder."""

    environment: SecretVariable | None = None
    file: Name | None = None

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.environment is None) == (self.file is None):
            raise ValueError("name an environment variable or a file, one of them")
        return self


class WebhookTarget(Declared):
    """POST of the alert as JSON, signed with HMAC-SHA256 as Standard Webhooks describes it.

    `url` is fetched over https; http is for networks that the operator opens with `--alert-network`.
    """

    format: Literal["webhook"]
    url: Url
    secret: Secret


class CloudEventsTarget(Declared):
    """POST of the alert as a CloudEvents 1.0 event, signed like a webhook where `secret` is given."""

    format: Literal["cloudevents"]
    url: Url
    mode: Literal["structured", "binary"] = "structured"
    secret: Secret | None = None


class SlackTarget(Declared):
    """An incoming webhook as Slack, Mattermost and Rocket.Chat take it. Its URL is the secret."""

    format: Literal["slack"]
    url: Secret


class CommitStatusTarget(Declared):
    """A status on the commit that an alert is about, on GitHub. `token` may write commit statuses.

    The API's address comes from the operator (GITHUB_API_URL), so that no declaration can send the token elsewhere.
    """

    format: Literal["commit-status"]
    repository: RepositoryName
    token: Secret


Target = Annotated[WebhookTarget | CloudEventsTarget | SlackTarget | CommitStatusTarget, Field(discriminator="format")]


class ChannelSpec(Declared):
    """Told is what fits all of `severities`, `reasons` and `owners`; without `reasons` or `owners`, any.

    `owners` are those of components (docs/components.yaml): a role or a login.
    """

    target: Target
    severities: Annotated[tuple[AlertSeverity, ...], AsTuple, Field(min_length=1, max_length=3)] = ("warning", "error")
    reasons: Annotated[tuple[AlertReason, ...], AsTuple, Field(max_length=32)] = ()
    owners: Annotated[tuple[Login, ...], AsTuple, Field(max_length=32)] = ()

    def tells(self, reason: AlertReason, severity: AlertSeverity, owner: str | None) -> bool:
        """True if an alert of this kind goes here."""
        named = not self.owners or (owner is not None and owner.casefold() in {one.casefold() for one in self.owners})
        return severity in self.severities and (not self.reasons or reason in self.reasons) and named


class Channel(Resource):
    """policies/channels/<name>.yaml"""

    kind: Literal["Channel"] = "Channel"
    spec: ChannelSpec
