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

        -- how many
        tickets.tickets_sold,
        case when known.is_past then known.attendance end as attendance,

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
        select cast(coalesce(sum({{ known_of_line('line', 'quantity', as_of()) }}), 0) as bigint) as tickets_sold
        from {{ ref('sale_history') }} as line
        where
            line.partner = known.partner
            and line.platform = known.platform
            and line.event_id = known.event_id
            and {{ is_line_known_at('line', as_of()) }}
    ) as tickets

)

select * from final
