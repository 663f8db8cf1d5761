"""The demo's partners and how their connections reach the sandbox. The tokens open nothing else."""

from typing import Any

PRETIX_TOKEN = "sandbox0" * 8
SHOPIFY_TOKEN = "shpat_" + "sandbox0" * 4
SHOPIFY_CLIENT = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
HUBSPOT_CLIENT = {
    "client_id": "sandbox-client",
    "client_secret": "sandbox-secret",
    "refresh_token": "sandbox-refresh",
}
SALESFORCE_CLIENT = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
EVENTBRITE_CLIENT = {"client_id": "sandbox-client", "client_secret": "sandbox-secret"}
EVENTBRITE_TOKEN = "SANDBOX0" * 2 + "SAND"
STRIPE_KEY = "sk_test_" + "sandbox0" * 4
ORGANIZER = "birmingham"
FAIRS = "100200300400"
SEARCH_COLUMNS: dict[str, str] = {
    "site_name": "enumeration",
    "posa_continent": "enumeration",
    "user_location_country": "number",
    "user_location_region": "number",
    "user_location_city": "number",
    "orig_destination_distance": "number",
    "is_mobile": "bool",
    "is_package": "bool",
    "channel": "enumeration",
    "srch_ci": "date",
    "srch_co": "date",
    "srch_adults_cnt": "number",
    "srch_children_cnt": "number",
    "srch_rm_cnt": "number",
    "srch_destination_id": "number",
    "srch_destination_type_id": "enumeration",
    "hotel_continent": "enumeration",
    "hotel_country": "number",
    "hotel_market": "number",
    "hotel_cluster": "number",
}


def demo_connections(base_url: str) -> list[dict[str, Any]]:
    """Each: partner, platform, settings, credentials, allowed_attributes (custom fields that are not personal)."""
    base = base_url.rstrip("/")
    return [
        {
            "partner": "car_parks",
            "platform": "pretix",
            "settings": {
                "base_url": f"{base}/pretix",
                "organizer": ORGANIZER,
                "region": "GB-ENG",
                "country": "GB",
                "city": "Birmingham",
            },
            "credentials": {"token": PRETIX_TOKEN},
            "allowed_attributes": [],
        },
        {
            "partner": "grocer",
            "platform": "shopify",
            "settings": {"base_url": f"{base}/shopify", "unit_cost_attribute": "unit_cost"},
            "credentials": {"access_token": SHOPIFY_TOKEN},
            "allowed_attributes": ["product_type"],
        },
        {
            "partner": "travel",
            "platform": "hubspot",
            "settings": {"base_url": f"{base}/hubspot", "converted_stages": ["customer"], "lost_statuses": ["LOST"]},
            "credentials": dict(HUBSPOT_CLIENT),
            "allowed_attributes": list(SEARCH_COLUMNS),
        },
    ]


def further_connections(base_url: str) -> list[dict[str, Any]]:
    """The partners on the other platforms, in the same shape."""
    base = base_url.rstrip("/")
    return [
        {
            "partner": "agency",
            "platform": "salesforce",
            "settings": {
                "base_url": f"{base}/salesforce",
                "login_url": f"{base}/salesforce",
                "lost_statuses": ["Closed - Not Converted"],
                "currency": "USD",
            },
            "credentials": dict(SALESFORCE_CLIENT),
            "allowed_attributes": [f"{name}__c" for name in SEARCH_COLUMNS],
        },
        {
            "partner": "fairs",
            "platform": "eventbrite",
            "settings": {
                "base_url": f"{base}/eventbrite",
                "organization": FAIRS,
                "login_url": f"{base}/eventbrite",
            },
            "credentials": {"access_token": EVENTBRITE_TOKEN},
            "allowed_attributes": [],
        },
        {
            "partner": "counter",
            "platform": "stripe",
            "settings": {"base_url": f"{base}/stripe"},
            "credentials": {"secret_key": STRIPE_KEY},
            "allowed_attributes": ["subclass"],
        },
    ]
