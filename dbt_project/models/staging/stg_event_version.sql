select
    -- keys
    partner,
    platform,
    native_id as event_id,
    version_id,

    -- what it says
    name,
    starts_at,
    ends_at,
    timezone,
    status,
    venue_name,
    venue_city,
    venue_region,
    venue_country,
    venue_capacity,
    category,
    series_id,
    on_sale_at,
    capacity,
    attendance,
    attributes,

    -- when it said so
    updated_at,
    deleted_at,
    valid_from,
    valid_to,
    arrived_at,
    txid
from {{ source('landing', 'event') }}
