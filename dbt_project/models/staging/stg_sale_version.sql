select
    -- keys
    partner,
    platform,
    native_id as sale_id,
    version_id,

    -- what it says
    event_id,
    contact_id,
    product,
    coalesce(tier, '') as tier,
    sold_at,
    quantity,
    unit_price,
    list_price,
    unit_cost,
    currency,
    status,
    refunded_quantity,
    refunded_amount,
    channel,
    attributes,

    -- when it said so
    updated_at,
    deleted_at,
    valid_from,
    valid_to,
    arrived_at,
    txid
from {{ source('landing', 'sale') }}
