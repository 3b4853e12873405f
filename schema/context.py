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
        """Whether the key has the scope, for what it sees; none implies another."""
        return self.caller.may_in_its_unit(scope)

    def require(self, scope: str) -> None:
        """Raises Forbidden unless the key has the scope for the whole tenant; one that is bound to a unit has none."""
        if scope not in self.caller.scopes:
            raise Forbidden(scope, unit=self.caller.unit)

    def require_in_unit(self, scope: str) -> None:
        """Raises Forbidden unless the key has the scope. For what the ledger narrows to the unit of a key that has one."""
        if not self.caller.may_in_its_unit(scope):
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
