with history as (

    select * from {{ ref('sale_history') }}

),

known as (

    select
        history.*,
        {{ known_of_line('history', 'quantity', as_of()) }} as known_quantity,
        {{ known_of_line('history', 'amount_reported', as_of()) }} as known_amount,
        -- fields may be edited after the sale: before they were first seen they are not known
        case when history.valid_from <= {{ as_of() }} then history.attributes end as known_attributes
    from history
    where history.is_counted and {{ is_line_known_at('history', as_of()) }}

),

daily as (

    select
        -- keys
        known.partner,
        known.platform,
        known.product,
        known.tier,
        known.sold_on,

        -- how many
        cast(sum(known.known_quantity) as bigint) as quantity,
        count(*) as line_count,
        cast(count(*) filter (where known.conversion_note is not null) as integer) as unconverted_lines,

        -- money, in the reporting currency; the price is what was paid, weighted by what was sold
        coalesce(sum(known.known_amount), 0) as revenue,
        round(
            sum(known.unit_price_reported * known.quantity)
            / nullif(sum(known.quantity) filter (where known.unit_price_reported is not null), 0), 6
        ) as unit_price,
        round(
            sum(known.list_price_reported * known.quantity)
            / nullif(sum(known.quantity) filter (where known.list_price_reported is not null), 0), 6
        ) as list_price,
        round(
            sum(known.unit_cost_reported * known.quantity)
            / nullif(sum(known.quantity) filter (where known.unit_cost_reported is not null), 0), 6
        ) as unit_cost,
        min(known.reporting_currency) as currency,
        max({{ attribute('known.attributes', 'product_type') }}) as product_group,

        -- the partner's own fields, and the event the day's last line is a ticket to
        array_agg(known.known_attributes) as attribute_maps,
        array_agg(greatest(known.quantity, 1)) as attribute_weights,
        {{ last_value_by('known.event_id', 'known.sold_at') }} as event_id,
        row_number() over (
            partition by known.partner, known.platform, known.product, known.tier
            order by known.sold_on desc
        ) = 1 as is_last_day
    from known
    group by known.partner, known.platform, known.product, known.tier, known.sold_on

),

partners as (

    select
        partner.*,
        -- a region without a calendar of its own follows its country's
        case
            when exists (
                select 1
                from {{ source('reference', 'holiday') }} as calendar
                where calendar.region = partner.region
            ) then partner.region
            else substring(partner.region from 1 for 2)
        end as holiday_region
    from {{ source('integrator', 'partner') }} as partner

),

holidays as (

    select * from {{ source('reference', 'holiday') }}

),

events as (

    select * from {{ ref('stg_event_version') }}

),

final as (

    select
        -- keys
        daily.partner,
        daily.platform,
        daily.product,
        daily.tier,
        daily.sold_on,

        -- how many
        daily.quantity,
        daily.line_count,

        -- money
        daily.revenue,
        daily.unit_price,
        daily.list_price,
        daily.unit_cost,
        daily.currency,
        daily.unconverted_lines,

        -- what and when
        daily.product_group,
        {{ iso_weekday('daily.sold_on') }} as weekday,
        {{ month_of('daily.sold_on') }} as month,
        holidays.name is not null as is_holiday,

        -- the partner's own fields
        {{ mean_attributes('daily.attribute_maps', 'daily.attribute_weights') }} as attributes,

        -- the event it is a ticket to
        case
            when events.starts_at is not null
                then greatest({{ local_date('events.starts_at', 'events.timezone') }} - daily.sold_on, 0)
        end as days_to_event,
        daily.event_id,
        events.starts_at as event_starts_at,
        coalesce(events.capacity, events.venue_capacity) as event_capacity,
        tickets.tickets_sold as event_tickets_sold,

        -- what it stands on
        {{ as_of() }} as as_of,
        {{ input_position() }} as input_position
    from daily
    inner join partners on daily.partner = partners.partner
    left join holidays
        on partners.holiday_region = holidays.region and daily.sold_on = holidays.holiday_date
    left join events
        on
            daily.partner = events.partner
            and daily.platform = events.platform
            and daily.event_id = events.event_id
            and events.status <> 'cancelled'
            and {{ is_valid_at('events', as_of()) }}
            and not {{ is_deleted_at('events', as_of()) }}
    -- of coming events alone, and once for each product: how many seats are left matters for the price of now
    cross join lateral (
        select cast(sum({{ known_of_line('line', 'quantity', as_of()) }}) as bigint) as tickets_sold
        from {{ ref('sale_history') }} as line
        where
            daily.is_last_day
            and events.starts_at > {{ as_of() }}
            and line.partner = daily.partner
            and line.platform = daily.platform
            and line.event_id = daily.event_id
            and {{ is_line_known_at('line', as_of()) }}
    ) as tickets

)

select * from final
