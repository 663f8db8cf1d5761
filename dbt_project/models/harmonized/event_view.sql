select
    -- keys
    history.partner,
    history.platform,
    history.event_id,

    -- what
    history.name,
    history.category,
    history.series_id,
    history.status,
    history.capacity,
    history.attendance,
    history.attributes,

    -- where
    history.venue_name,
    history.venue_city,
    history.region,
    history.timezone,

    -- when
    history.starts_at,
    history.ends_at,
    history.on_sale_at,
    history.starts_on,
    history.local_hour,
    history.weekday,
    history.month,
    history.is_holiday,
    history.holiday_name,
    history.valid_from as changed_at,
    history.arrived_at
from {{ ref('event_history') }} as history
where history.valid_to is null and history.deleted_at is null
