"""What a request brings to every resolver: whose key it came with, in which tenant, and the loaders it shares."""

from typing import TypeAlias

import strawberry

from ledger.assembly import Caller, Tenant
from schema.catalogue import CatalogueView
from schema.loaders import Loaders
from schema.refusals import Forbidden


class RequestContext:
    """One request of one caller, in that caller's tenant."""

    __slots__ = ("_loaders", "caller", "tenant")

    def __init__(self, tenant: Tenant, caller: Caller) -> None:
        self.tenant = tenant
        self.caller = caller
        self._loaders: Loaders | None = None

    @property
    def loaders(self) -> Loaders:
        """The loaders, made when first needed: a plain check needs none."""
        if self._loaders is None:
            self._loaders = Loaders(self.tenant)
        return self._loaders

    def may(self, scope: str) -> bool:
        """Whether the key has the scope; none implies another."""
        return scope in self.caller.scopes

    def require(self, scope: str) -> None:
        """Raises Forbidden unless the key has the scope."""
        if scope not in self.caller.scopes:
            raise Forbidden(scope)

    async def catalogue(self) -> CatalogueView:
        """The catalogue as of this request."""
        return await self.loaders.catalogue.load(None)

    async def catalogue_with(self, purpose: str, topic: str | None) -> CatalogueView:
        """A catalogue that holds what an event of the log names."""
        view = await self.catalogue()
        if purpose in view.catalogue.purposes and (topic is None or topic in view.catalogue.topics):
            return view
        # Made since this request first looked: an event is read after the catalogue that it needs.
        return CatalogueView(self.tenant, await self.tenant.latest_catalogue())

    def after_a_change(self) -> None:
        """Forget what was loaded before a mutation: what comes after it must see it."""
        self._loaders = None


Info: TypeAlias = strawberry.Info[RequestContext, None]
