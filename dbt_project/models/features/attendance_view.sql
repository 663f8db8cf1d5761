with history as (

    select * from {{ ref('event_history') }}

),

known as (

    -- The version valid at the moment; of an event first seen later, what its own dates prove and no more:
    -- that it was on sale, or that it took place and how many came. The rest of it is unknown.
    select
        history.*,
        history.valid_from <= {{ as_of() }} as is_seen,
        history.starts_at < {{ as_of() }} as is_past
    from history
    where
        not {{ is_deleted_at('history', as_of()) }}
        and (
            {{ is_valid_at('history', as_of()) }}
            or (
                history.valid_from > {{ as_of() }}
                and (history.starts_at < {{ as_of() }} or history.on_sale_at <= {{ as_of() }})
                and {{ is_first_version('event', 'history', 'history.event_id') }}
            )
        )

),

final as (

    select
        -- keys
        known.partner,
        known.platform,
        known.event_id,
        case when known.is_seen then known.series_id end as series_id,

        -- what and where
        known.name,
        known.venue_name,
        case when known.is_seen then known.category end as category,
        known.timezone,
        known.region,
        case when known.is_seen then known.capacity end as capacity,
        case
            when known.is_seen then known.status
            when known.is_past then 'completed'
            else 'scheduled'
        end as status,

        -- when
        known.starts_at,
        known.starts_on,
        known.local_hour,
        known.weekday,
        known.month,
        known.is_holiday,
        known.holiday_name,
        known.on_sale_at,
        known.starts_on - {{ local_date(as_of(), 'known.timezone') }} as days_out,
        known.is_past,

        -- how many, and how they were sold
        tickets.tickets_sold,
        case when known.is_past then known.attendance end as attendance,
        tickets.bookings,
        tickets.average_price,

        -- the partner's own fields: of a past event as they were when it started, if they were seen by then
        case
            when known.is_seen and known.is_past then coalesce(at_start.attributes, known.attributes)
            when known.is_seen then known.attributes
            else {{ no_attributes() }}
        end as attributes,

        -- what it stands on
        {{ as_of() }} as as_of,
        {{ input_position() }} as input_position
    from known
    left join {{ ref('stg_event_version') }} as at_start
        on
            known.is_past
            and known.partner = at_start.partner
            and known.platform = at_start.platform
            and known.event_id = at_start.event_id
            and {{ is_valid_at('at_start', 'known.starts_at') }}
    cross join lateral (
        select
            cast(coalesce(sum(daily.change), 0) as bigint) as tickets_sold,
            {{ curve('daily.days_out', 'daily.sold') }} as bookings,
            round(sum(daily.paid) / nullif(sum(daily.priced), 0), 6) as average_price
        from (
            select
                days.days_out,
                sum(change.quantity) as change,
                sum(sum(change.quantity)) over (order by days.days_out desc) as sold,
                sum(change.quantity * line.unit_price_reported) as paid,
                sum(change.quantity) filter (where line.unit_price_reported is not null) as priced
            from {{ ref('sale_history') }} as line
            cross join lateral ({{ line_changes('line') }}) as change
            cross join lateral (
                select known.starts_on - {{ local_date('change.moment', 'known.timezone') }} as days_out
            ) as days
            where
                line.partner = known.partner
                and line.platform = known.platform
                and line.event_id = known.event_id
                and change.moment <= {{ as_of() }}
            group by days.days_out
        ) as daily
    ) as tickets
)

select * from final
