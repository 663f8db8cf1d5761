-- An event touches itself and its series; a sale line touches the event it is a ticket to, and so its series. All
-- versions count: what has moved elsewhere is news where it was, too.
select
    event.partner,
    'event' as kind,
    event.platform,
    event.event_id as native_id,
    event.event_id as key,
    event.platform as subject_platform,
    subject.subject_kind,
    subject.subject_id
from {{ ref('stg_event_version') }} as event
cross join lateral (
    select
        'event' as subject_kind,
        event.event_id as subject_id
    union all
    select
        'series' as subject_kind,
        event.series_id as subject_id
    where event.series_id is not null
) as subject
union all
select
    line.partner,
    'sale' as kind,
    line.platform,
    line.sale_id as native_id,
    event.event_id as key,
    event.platform as subject_platform,
    subject.subject_kind,
    subject.subject_id
from ({{ each_sale_version() }}) as line
inner join {{ ref('stg_event_version') }} as event
    on
        line.partner = event.partner
        and line.platform = event.platform
        and line.event_id = event.event_id
cross join lateral (
    select
        'event' as subject_kind,
        event.event_id as subject_id
    union all
    select
        'series' as subject_kind,
        event.series_id as subject_id
    where event.series_id is not null
) as subject
