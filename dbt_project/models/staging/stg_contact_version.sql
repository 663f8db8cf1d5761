select
    -- keys
    partner,
    platform,
    native_id as contact_id,
    version_id,

    -- what it says
    created_at,
    stage,
    converted_at,
    lost_at,
    source,
    country,
    consent_processing,
    consent_pooling,
    email_hash,
    phone_hash,
    attributes,

    -- when it said so
    updated_at,
    deleted_at,
    valid_from,
    valid_to,
    arrived_at,
    txid
from {{ source('landing', 'contact') }}
