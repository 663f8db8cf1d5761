"""`integrator partners`: tenants and their database logins."""

from typing import Annotated

import typer

from integrator.cli.output import Json, note, show
from integrator.cli.session import open_session, require_partner

app = typer.Typer(help="Register partners and hand out their database logins.", no_args_is_help=True)


@app.command()
def add(
    name: Annotated[str, typer.Argument(help="^[a-z][a-z0-9_]{1,39}$, not 'pooled'.")],
    timezone: Annotated[str, typer.Option(help="IANA name, e.g. Europe/Berlin.")],
    currency: Annotated[str, typer.Option(help="Reporting currency, ISO 4217.")],
    region: Annotated[str, typer.Option(help="ISO 3166 country or 3166-2 region, for holidays.")],
    default_processing: Annotated[
        str, typer.Option(help="What a contact's missing consent to processing means: granted or denied.")
    ] = "granted",
    pooling: Annotated[str, typer.Option(help="Whether its data may train pooled models: yes or no.")] = "no",
    language: Annotated[str | None, typer.Option(help="Of the sentences in its insights; en unless said.")] = None,
    as_json: Json = False,
) -> None:
    """Register a partner; saying it again changes nothing. Prints its database address once."""
    from integrator.contracts.errors import invalid
    from integrator.steps.languages import require_spoken
    from integrator.storage.logs import audit
    from integrator.storage.partners import Partner, language_of, register
    from integrator.storage.reference import load_holidays
    from integrator.storage.roles import create_partner_role

    if pooling not in ("yes", "no"):
        raise invalid("pooling", pooling, ("yes", "no"))
    if language is not None:
        require_spoken(language)
    services = open_session()
    partner = Partner(
        partner=name, timezone=timezone, currency=currency, region=region, default_processing=default_processing,
        pooling=pooling == "yes", language=language or language_of(services.database, name),
    )  # fmt: skip
    now = services.clock()
    added = register(services.database, partner, now)
    load_holidays(services.database, [region], now)
    address = create_partner_role(services.database, name)
    if added:
        with services.database.partner(name) as connection:
            audit(connection, "cli", name, "partner.add", name, now, {"currency": currency, "region": region})
    else:
        note(f"partner {name} is registered already")
    show([{"partner": name, "database_url": address}] if address else [{"partner": name}], as_json=as_json)


@app.command()
def pooling(
    name: Annotated[str, typer.Argument(help="The partner.")],
    consent: Annotated[str, typer.Argument(help="Whether its data may train pooled models: yes or no.")],
    as_json: Json = False,
) -> None:
    """Give a partner's consent to pooling, or take it back: from the next night its rows train no pooled model."""
    from integrator.contracts.errors import invalid
    from integrator.storage.logs import audit
    from integrator.storage.pooling import set_consent

    if consent not in ("yes", "no"):
        raise invalid("consent", consent, ("yes", "no"))
    services = open_session()
    require_partner(services, name)
    now = services.clock()
    changed = set_consent(services.database, name, pooling=consent == "yes", now=now)
    if changed:
        with services.database.partner(name) as connection:
            audit(connection, "cli", name, "partner.pooling", name, now, {"pooling": consent})
    else:
        note(f"pooling of {name} is {consent} already")
    show([{"partner": name, "pooling": consent}], as_json=as_json)


@app.command()
def language(
    name: Annotated[str, typer.Argument(help="The partner.")],
    code: Annotated[str, typer.Argument(help="A language that every use case speaks, such as en or de.")],
    as_json: Json = False,
) -> None:
    """Change the language of a partner's insights: with the next scoring they are told in it, as new versions."""
    from integrator.steps.languages import require_spoken
    from integrator.storage.logs import audit
    from integrator.storage.partners import set_language

    require_spoken(code)
    services = open_session()
    require_partner(services, name)
    if set_language(services.database, name, code):
        with services.database.partner(name) as connection:
            audit(connection, "cli", name, "partner.language", name, services.clock(), {"language": code})
    else:
        note(f"the language of {name} is {code} already")
    show([{"partner": name, "language": code}], as_json=as_json)


@app.command("list")
def list_partners(as_json: Json = False) -> None:
    """Every registered partner."""
    from integrator.storage.partners import list_all

    with open_session().database.service() as connection:
        show((partner.__dict__ for partner in list_all(connection)), as_json=as_json)


@app.command()
def credentials(
    name: Annotated[str, typer.Argument(help="The partner.")],
    rotate: Annotated[bool, typer.Option("--rotate", help="Make a new password; the old one ends at once.")] = False,
    as_json: Json = False,
) -> None:
    """A new database login for a partner; passwords are shown once and kept nowhere."""
    from integrator.contracts.errors import InvalidInput
    from integrator.storage.logs import audit
    from integrator.storage.roles import rotate_partner_role

    if not rotate:
        raise InvalidInput("passwords are shown once and kept nowhere; say --rotate for a new one")
    services = open_session()
    require_partner(services, name)
    address = rotate_partner_role(services.database, name)
    with services.database.partner(name) as connection:
        audit(connection, "cli", name, "partner.credentials.rotate", name, services.clock(), {})
    show([{"partner": name, "database_url": address}], as_json=as_json)
