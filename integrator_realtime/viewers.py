"""Who may look at insights: a client with its scope, or a page with a widget token."""

from collections.abc import Collection
from dataclasses import dataclass

from fastapi import Request

from integrator.contracts.errors import Forbidden
from integrator.security.tokens import Access
from integrator.security.widget_tokens import Widget, WidgetTokens, is_widget_token
from integrator_realtime.gateway import Gateway, bearer, refuse_repeated
from integrator_realtime.origins import Origins


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who asks, and what a widget token leaves of it."""

    access: Access
    widget: Widget | None = None

    def require(self, use_case: str, subject_id: str) -> None:
        """`Forbidden` where a widget token does not reach."""
        if self.widget is not None and not self.widget.covers(use_case, subject_id):
            raise Forbidden(f"the widget token is not for {use_case} of {subject_id[:80]!r}")


class Viewers:
    """Recognises both."""

    def __init__(self, gateway: Gateway, origins: Origins) -> None:
        self._gateway, self._origins = gateway, origins
        self.tokens = WidgetTokens(gateway.issuer, gateway.services.clock)

    async def of(self, request: Request, scope: str, *, repeatable: Collection[str] = ()) -> Viewer:
        """Who asks, as `Gateway.caller` finds out; revocation and limits are still to be looked at.

        `Unauthorized` for no good token, `Forbidden` for a page of another origin than the widget token's.
        """
        token = bearer(request)
        if not is_widget_token(token):
            return Viewer(await self._gateway.caller(request, scope, repeatable=repeatable))
        widget = self.tokens.verify(token)
        request.scope["access"] = widget.access
        refuse_repeated(request, repeatable)
        origin = request.headers.get("origin")
        if origin != widget.origin:
            raise Forbidden(f"the widget token is for pages of {widget.origin}, not of {(origin or 'no origin')[:80]}")
        await self.require_origin(widget)
        return Viewer(widget.access, widget)

    async def require_origin(self, widget: Widget) -> None:
        """`Forbidden` once the token's origin is no longer registered."""
        if widget.access.partner not in await self._origins.partners(widget.origin):
            raise Forbidden(f"the origin {widget.origin} is not registered")
