with history as (

    select * from {{ ref('sale_history') }}

),

known as (

    select
        history.*,
        {{ known_of_line('history', 'quantity', as_of()) }} as known_quantity,
        {{ known_of_line('history', 'amount_reported', as_of()) }} as known_amount
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
        max({{ attribute('known.attributes', 'product_type') }}) as product_group
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

        -- what it stands on
        {{ as_of() }} as as_of,
        {{ input_position() }} as input_position
    from daily
    inner join partners on daily.partner = partners.partner
    left join holidays
        on partners.holiday_region = holidays.region and daily.sold_on = holidays.holiday_date

)

select * from final
