"""Two tenants, every table and view there is, every kind of role: nobody gets at the other's rows.

Nothing is listed by hand: relations come from the catalog, rows are made from column types, so that a table added
tomorrow is tried tomorrow.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import psycopg
import pytest
from psycopg import sql

from integrator.contracts.errors import NotFound
from integrator.steps.services import Services
from integrator.storage.database import Database
from integrator.storage.roles import create_partner_role, role_of, rotate_partner_role

PARTNERS = ("alpha", "beta")
SCHEMAS = (
    "integrator",
    "landing",
    "vault",
    "reference",
    "staging",
    "harmonized",
    "features",
    "insights",
    "ops",
    "metrics",
)
# Registries read whole by design: who exists, and whose client knocks (before any partner is known).
REGISTRY = {"integrator.partner"}
FOUND_BY_ID = {"integrator.client"}
# Read whole where no partner is set: a browser's preflight names a page's origin and nobody.
BEFORE_ANY_PARTNER = {"integrator.widget_origin"}
DBT_SCHEMAS = ("staging", "harmonized", "features")


@dataclass(frozen=True)
class Relation:
    """One table or view; `columns` are names and types."""

    schema: str
    name: str
    kind: str
    columns: tuple[tuple[str, str], ...]

    @property
    def id(self) -> str:
        return f"{self.schema}.{self.name}"

    @property
    def identifier(self) -> sql.Identifier:
        return sql.Identifier(self.schema, self.name)

    @property
    def is_tenants(self) -> bool:
        return any(name == "partner" for name, _ in self.columns)


Connect = Callable[..., psycopg.Connection[Any]]


@pytest.fixture(scope="module")
def urls(services: Services) -> dict[str, str]:
    """Logins of both partners, on rows of both in every table, dbt's among them."""
    _build_as_dbt_does(services.database)
    _fill(services.database)
    found = {}
    for partner in PARTNERS:
        found[partner] = create_partner_role(services.database, partner) or rotate_partner_role(
            services.database, partner
        )
    return found


@pytest.fixture
def connect(services: Services, urls: dict[str, str]) -> Iterator[Connect]:
    """A connection as a role or a partner's login; with `partner`, the setting a service transaction has."""
    opened = []

    def open_as(role: str, partner: str | None = None) -> psycopg.Connection[Any]:
        url = urls.get(role) or services.database.url(role).set(drivername="postgresql").render_as_string(False)
        connection = psycopg.connect(url, autocommit=True)
        opened.append(connection)
        if partner is not None:
            connection.execute("select set_config('integrator.partner', %s, false)", (partner,))
        return connection

    yield open_as
    for connection in opened:
        connection.close()


def relations(database: Database) -> list[Relation]:
    with database.owner() as connection:
        rows = connection.exec_driver_sql("""
            select n.nspname, c.relname, c.relkind::text,
              array_agg(a.attname::text || ' ' || t.typname order by a.attnum)
            from pg_class c join pg_namespace n on n.oid = c.relnamespace
            join pg_attribute a on a.attrelid = c.oid and a.attnum > 0 and not a.attisdropped
            join pg_type t on t.oid = a.atttypid
            where c.relkind in ('r', 'p', 'v', 'm', 'f') and n.nspname <> 'information_schema' and n.nspname !~ '^pg_'
            group by 1, 2, 3 order by 1, 2""").all()
    return [Relation(row[0], row[1], row[2], tuple(tuple(c.rsplit(" ", 1)) for c in row[3])) for row in rows]


def _build_as_dbt_does(database: Database) -> None:
    """A table and a view in each of dbt's schemas, owned by the night's role, protected as its post-hooks do."""
    with database.batch() as connection:
        for schema in DBT_SCHEMAS:
            connection.exec_driver_sql(
                f"create table {schema}.built (partner text not null, label text, amount numeric)"
            )
            connection.exec_driver_sql(f"select integrator.protect('{schema}.built')")
            connection.exec_driver_sql(
                f"create view {schema}.shown with (security_invoker = true) as select * from {schema}.built"
            )
            for name in ("built", "shown"):
                readers = "integrator_service" if schema == "staging" else "integrator_service, integrator_analyst"
                connection.exec_driver_sql(f"grant select on {schema}.{name} to {readers}")


def _fill(database: Database) -> None:
    """One row of each partner in every table that has partners."""
    tables = [r for r in relations(database) if r.kind == "r" and r.is_tenants and r.id not in REGISTRY]
    waiting, last = tables, -1
    while waiting and len(waiting) != last:  # foreign keys decide the order: try until nothing more goes in
        last, left = len(waiting), []
        for table in waiting:
            try:
                with database.batch() as connection:
                    driver: Any = connection.connection.driver_connection
                    for partner in PARTNERS:
                        _insert(driver, table, partner)
            except Exception as error:
                left.append((table, error))
        waiting = [table for table, _ in left]
    assert not left, [f"{table.id}: {error}" for table, error in left]


def _insert(driver: Any, table: Relation, partner: str) -> None:
    generated = {
        row[0]
        for row in driver.execute(
            "select attname from pg_attribute where attrelid = %s::regclass and attidentity <> ''", (table.id,)
        )
    }
    checks = " ".join(
        row[0]
        for row in driver.execute(
            "select pg_get_constraintdef(oid) from pg_constraint where conrelid = %s::regclass and contype = 'c'",
            (table.id,),
        )
    )
    columns = [(name, kind) for name, kind in table.columns if name not in generated]
    values = [partner if name == "partner" else _value(name, kind, checks, partner) for name, kind in columns]
    driver.execute(
        sql.SQL("insert into {} ({}) values ({})").format(
            table.identifier,
            sql.SQL(", ").join(sql.Identifier(name) for name, _ in columns),
            sql.SQL(", ").join(
                sql.SQL("{}::text::{}").format(sql.Placeholder(), sql.SQL(_cast(kind))) for _, kind in columns
            ),
        ),
        values,
    )


def _cast(kind: str) -> str:
    return f"{kind[1:]}[]" if kind.startswith("_") else kind


def _value(name: str, kind: str, checks: str, partner: str) -> str:
    allowed = re.search(rf"\(?{name} = ANY \(ARRAY\['([^']*)'", checks)
    if allowed:
        return allowed.group(1)
    if name == "origin":  # its form is checked
        return f"https://{partner}.example"
    if kind.startswith("_"):
        return "{}"
    # Ids that another table refers to are the same everywhere; what is unique across tenants has the name in it.
    by_kind = {
        "bool": "true", "bytea": "\\x00", "date": "2026-03-16", "timestamptz": "2026-03-16T12:00:00Z", "jsonb": "{}",
        "xid8": "3", "text": f"{partner}-x",
    }  # fmt: skip
    return by_kind.get(kind, "1")


def seen(connection: psycopg.Connection[Any], relation: Relation) -> set[str] | None:
    """Whose rows the connection sees; None when it may not look at all."""
    try:
        rows = connection.execute(sql.SQL("select distinct partner from {}").format(relation.identifier)).fetchall()
    except psycopg.errors.InsufficientPrivilege:
        return None
    return {row[0] for row in rows}


def tenants(services: Services) -> list[Relation]:
    found = [r for r in relations(services.database) if r.is_tenants and r.id not in REGISTRY]
    assert len(found) > 30
    return found


# --- the catalog ------------------------------------------------------------------------------------------------------


def test_only_the_schemas_of_the_design(services: Services, urls: dict[str, str]) -> None:
    assert {r.schema for r in relations(services.database)} <= {*SCHEMAS, "public", "dagster", "mlflow", "queue"}


@pytest.mark.parametrize("role", ["alpha", "integrator_batch", "integrator_analyst"])
def test_the_queue_names_all_partners_and_is_closed_to_everyone_but_the_service(
    services: Services, connect: Connect, role: str
) -> None:
    assert not [r.id for r in relations(services.database) if r.schema == "queue" and r.is_tenants]
    connect("integrator_service").execute("select from queue.procrastinate_jobs")
    for statement in ("select from queue.procrastinate_jobs", "select queue.procrastinate_register_worker_v1()"):
        with pytest.raises(psycopg.errors.InsufficientPrivilege):
            connect(role).execute(statement)


def test_every_tenant_table_is_protected_and_every_view_asks_as_the_caller(
    services: Services, urls: dict[str, str]
) -> None:
    with services.database.owner() as connection:
        facts = {
            row[0]: row
            for row in connection.exec_driver_sql("""
                select n.nspname || '.' || c.relname, c.relrowsecurity, c.relforcerowsecurity,
                  coalesce('security_invoker=true' = any(c.reloptions), false),
                  (select count(*) from pg_policy p where p.polrelid = c.oid)
                from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.relkind in ('r', 'p', 'v', 'm')""")
        }
    for relation in tenants(services):
        _, enabled, forced, invoker, policies = facts[relation.id]
        assert relation.kind in ("r", "p", "v"), f"{relation.id}: a materialized view cannot be protected"
        if relation.kind == "v":
            assert invoker, f"{relation.id} is not security_invoker"
        else:
            assert enabled and forced and policies >= 4, f"{relation.id} is not protected"


def test_no_role_of_ours_is_above_the_policies(services: Services, urls: dict[str, str]) -> None:
    with services.database.owner() as connection:
        rows = connection.exec_driver_sql("""select rolname, rolsuper, rolbypassrls, rolcreatedb, rolcreaterole from pg_roles
            where rolname ~ '^(integrator|partner)_'""").all()
    for name, superuser, bypass, create_database, create_role in rows:
        assert not (superuser or bypass or create_database), name
        assert not create_role or name == "integrator_owner", name


# --- reading ----------------------------------------------------------------------------------------------------------


def test_the_night_sees_both(services: Services, connect: Connect) -> None:
    batch = connect("integrator_batch")
    for relation in tenants(services):
        if relation.schema != "insights" or relation.kind == "r":
            assert seen(batch, relation) == set(PARTNERS), f"{relation.id} was not filled with rows of both"


@pytest.mark.parametrize("partner", PARTNERS)
def test_the_service_sees_the_partner_it_set(services: Services, connect: Connect, partner: str) -> None:
    service = connect("integrator_service", partner)
    for relation in tenants(services):
        if relation.id not in FOUND_BY_ID:
            assert seen(service, relation) in (None, {partner}, set()), relation.id


@pytest.mark.parametrize("setting", [None, "", "gamma", "alpha,beta", "%"])
def test_the_service_without_a_partner_sees_nobody(services: Services, connect: Connect, setting: str | None) -> None:
    service = connect("integrator_service", setting)
    for relation in tenants(services):
        if relation.id in BEFORE_ANY_PARTNER and not setting:
            assert seen(service, relation) == set(PARTNERS)
        elif relation.id not in FOUND_BY_ID:
            assert seen(service, relation) in (None, set()), relation.id


def test_the_owner_sees_nobody(services: Services, urls: dict[str, str]) -> None:
    for relation in tenants(services):
        if relation.schema in DBT_SCHEMAS:
            continue
        with services.database.owner() as connection:
            count = connection.exec_driver_sql(f"select count(*) from {relation.id}").scalar_one()
        assert count == 0, relation.id


@pytest.mark.parametrize("partner", PARTNERS)
def test_a_partners_login_sees_its_own_insights_alone(services: Services, connect: Connect, partner: str) -> None:
    login = connect(partner)
    readable = {relation.id: seen(login, relation) for relation in tenants(services)}
    for name, found in readable.items():
        assert found in (None, {partner}, set()), name
    open_schemas = {name.split(".")[0] for name, found in readable.items() if found is not None}
    assert open_schemas == {"insights"}
    assert readable["insights.history"] == {partner} and readable["insights.publication"] == {partner}
    for relation in relations(services.database):
        if not relation.is_tenants and relation.schema in SCHEMAS:
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                login.execute(sql.SQL("select 1 from {}").format(relation.identifier))


def test_the_analyst_never_sees_vault_landing_or_control(services: Services, connect: Connect) -> None:
    analyst = connect("integrator_analyst", "alpha")
    readable = {relation.id for relation in relations(services.database) if relation.schema in SCHEMAS
                and _may_read(analyst, relation)}  # fmt: skip
    assert {name.split(".")[0] for name in readable} <= {"harmonized", "features", "insights", "metrics", "reference"}
    assert {"harmonized.built", "features.built", "insights.history", "metrics.model_quality"} <= readable


def _may_read(connection: psycopg.Connection[Any], relation: Relation) -> bool:
    try:
        connection.execute(sql.SQL("select 1 from {} limit 1").format(relation.identifier))
    except psycopg.errors.InsufficientPrivilege:
        return False
    return True


# --- writing ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("role", "partner"),
    [("integrator_service", "alpha"), ("integrator_service", None), ("integrator_analyst", "alpha"), ("alpha", "beta")],
)
def test_nobody_writes_anothers_rows(services: Services, connect: Connect, role: str, partner: str | None) -> None:
    """Updates and deletes find nothing of beta's, inserts in its name are refused, also through the views."""
    connection = connect(role, partner)
    before = _counts(services)
    for relation in tenants(services):
        for statement in (
            "update {} set partner = partner where partner = 'beta'",
            "update {} set partner = 'beta' where partner <> 'beta'",
            "delete from {} where partner = 'beta'",
            "insert into {} (partner) values ('beta')",
        ):
            _refused_or_empty(connection, sql.SQL(statement).format(relation.identifier), f"{role} {relation.id}")
    assert _counts(services) == before


def _refused_or_empty(connection: psycopg.Connection[Any], statement: sql.Composed, what: str) -> None:
    try:
        count = connection.execute(statement).rowcount
    except (
        psycopg.errors.InsufficientPrivilege, psycopg.errors.ObjectNotInPrerequisiteState,
        psycopg.errors.FeatureNotSupported, psycopg.errors.IntegrityError, psycopg.errors.WrongObjectType,
        psycopg.errors.GeneratedAlways,
    ):  # fmt: skip
        return
    assert count == 0, what


def _counts(services: Services) -> dict[str, int]:
    with services.database.batch() as connection:
        return {
            f"{relation.id} {row[0]}": row[1]
            for relation in tenants(services)
            if relation.kind == "r"
            for row in connection.exec_driver_sql(f"select partner, count(*) from {relation.id} group by 1")
        }


# --- changing who one is ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "attempt",
    [
        "set role partner_beta", "set role integrator_service", "set role integrator_batch", "set role integrator_partner",
        "set role integrator_owner", "set session authorization partner_beta",
        "alter role partner_alpha rename to partner_beta", "alter role partner_alpha createrole",
        "grant integrator_batch to partner_alpha", "create role partner_gamma", "create table insights.mine (a int)",
        "create schema mine", "alter table insights.current disable row level security",
        "create policy mine on insights.current using (true)", "copy insights.current to program 'cat'",
        "select pg_read_file('/etc/passwd')",
    ],
)  # fmt: skip
def test_a_partner_cannot_become_another(connect: Connect, attempt: str) -> None:
    login = connect("alpha")
    with pytest.raises(psycopg.Error):
        login.execute(attempt)  # type: ignore[call-overload]
    assert login.execute("select current_user").fetchone() == ("partner_alpha",)


def test_a_setting_changes_nothing_for_a_partner(services: Services, connect: Connect) -> None:
    login = connect("alpha", "beta")
    login.execute("set row_security = off")
    for relation in tenants(services):
        try:
            assert seen(login, relation) in (None, {"alpha"}, set()), relation.id
        except psycopg.errors.InsufficientPrivilege:
            continue
    login.execute("reset row_security")
    assert {relation.id: seen(login, relation) for relation in tenants(services)}["insights.history"] == {"alpha"}


def test_a_leaky_function_sees_no_more(connect: Connect) -> None:
    """A cheap function in the condition must not run on another's rows before the policy does."""
    login = connect("alpha")
    login.execute("""create function pg_temp.peek(text) returns boolean language plpgsql cost 0.0001
        as $$ begin raise notice 'peeked %', $1; return true; end $$""")
    noticed: list[str] = []
    login.add_notice_handler(lambda notice: noticed.append(str(notice.message_primary)))
    login.execute("select partner from insights.current where pg_temp.peek(partner)").fetchall()
    assert noticed and all("beta" not in text for text in noticed)


def test_logins_are_bounded_and_rotate(services: Services, urls: dict[str, str], connect: Connect) -> None:
    login = connect("alpha")
    assert login.execute("show statement_timeout").fetchone() == ("30s",)
    with services.database.owner() as connection:
        limit = connection.exec_driver_sql(f"select rolconnlimit from pg_roles where rolname = '{role_of('alpha')}'")
        assert limit.scalar_one() == 10
    assert create_partner_role(services.database, "alpha") is None
    fresh = rotate_partner_role(services.database, "alpha")
    with pytest.raises(psycopg.OperationalError, match="password"):
        psycopg.connect(urls["alpha"])
    urls["alpha"] = fresh
    psycopg.connect(fresh).close()
    with pytest.raises(NotFound, match="partner_nobody"):
        rotate_partner_role(services.database, "nobody")
