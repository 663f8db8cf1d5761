-- A sale line touches what it sold, in all its versions; an event touches what is sold for it, whose seats it bounds.
select
    line.partner,
    'sale' as kind,
    line.platform,
    line.sale_id as native_id,
    line.product as key,
    line.platform as subject_platform,
    case when line.tier = '' then 'product' else 'tier' end as subject_kind,
    case when line.tier = '' then line.product else line.product || '/' || line.tier end as subject_id
from ({{ each_sale_version() }}) as line
union all
select
    line.partner,
    'event' as kind,
    line.platform,
    line.event_id as native_id,
    line.product as key,
    line.platform as subject_platform,
    case when line.tier = '' then 'product' else 'tier' end as subject_kind,
    case when line.tier = '' then line.product else line.product || '/' || line.tier end as subject_id
from {{ ref('stg_sale_version') }} as line
where line.event_id is not null
