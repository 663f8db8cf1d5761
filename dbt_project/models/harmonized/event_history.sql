select
    -- keys
    calendared.partner,
    calendared.platform,
    calendared.event_id,
    calendared.version_id,

    -- what
    calendared.name,
    calendared.category,
    calendared.series_id,
    calendared.status,
    coalesce(calendared.capacity, calendared.venue_capacity) as capacity,
    calendared.attendance,
    calendared.attributes,

    -- where
    calendared.venue_name,
    calendared.venue_city,
    calendared.region,
    calendared.timezone,

    -- when
    calendared.starts_at,
    calendared.ends_at,
    calendared.on_sale_at,
    calendared.starts_on,
    calendared.local_hour,
    {{ iso_weekday('calendared.starts_on') }} as weekday,
    {{ month_of('calendared.starts_on') }} as month,
    holidays.name is not null as is_holiday,
    holidays.name as holiday_name,

    -- versions
    calendared.updated_at,
    calendared.deleted_at,
    calendared.valid_from,
    calendared.valid_to,
    calendared.arrived_at
from (
    select
        placed.*,
        -- a region without a calendar of its own follows its country's
        case
            when exists (
                select 1
                from {{ source('reference', 'holiday') }} as calendar
                where calendar.region = placed.region
            ) then placed.region
            else substring(placed.region from 1 for 2)
        end as holiday_region
    from (
        select
            versions.*,
            {{ local_date('versions.starts_at', 'versions.timezone') }} as starts_on,
            {{ local_hour('versions.starts_at', 'versions.timezone') }} as local_hour,
            case
                when versions.venue_region like '__-%' then versions.venue_region
                when versions.venue_country like '__' and versions.venue_region is not null
                    then versions.venue_country || '-' || versions.venue_region
                when versions.venue_country like '__' then versions.venue_country
                else partners.region
            end as region
        from {{ ref('stg_event_version') }} as versions
        inner join {{ source('integrator', 'partner') }} as partners on versions.partner = partners.partner
    ) as placed
) as calendared
left join {{ source('reference', 'holiday') }} as holidays
    on calendared.holiday_region = holidays.region and calendared.starts_on = holidays.holiday_date
