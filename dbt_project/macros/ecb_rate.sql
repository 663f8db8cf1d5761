{#-
  The European Central Bank's rate of a day: units of `target` for one unit of `origin`, crossed through the euro,
  from the last rates on or before the day, at most 7 days old. Joins as `ecb (rate, rate_date)`, both null where there
  is none; `rate_date` is the older of the two legs. Where the currencies agree nothing is looked up.
-#}
{% macro ecb_rate(origin, target, day) -%}
    {{ return(adapter.dispatch('ecb_rate')(origin, target, day)) }}
{%- endmacro %}

{#- `is_needed` stands inside, below the limit: outside it would be a filter after the lookup. -#}
{% macro ecb_leg(currency, day, is_needed) -%}
    select
        1 as per_eur,
        cast(null as date) as rate_date
    where {{ is_needed }} and {{ currency }} = 'EUR'
    union all
    (
        select
            fx_rate.per_eur,
            fx_rate.rate_date
        from {{ source('reference', 'fx_rate') }} as fx_rate
        where
            {{ is_needed }}
            and fx_rate.currency = {{ currency }}
            and fx_rate.rate_date <= {{ day }}
            and fx_rate.rate_date >= {{ day }} - 7
        order by fx_rate.rate_date desc
        limit 1
    )
    limit 1
{%- endmacro %}

{% macro postgres__ecb_rate(origin, target, day) -%}
    left join lateral (
        select
            round(target_leg.per_eur / origin_leg.per_eur, 12) as rate,
            least(origin_leg.rate_date, target_leg.rate_date) as rate_date
        from ({{ ecb_leg(origin, day, origin ~ ' <> ' ~ target) }}) as origin_leg
        cross join ({{ ecb_leg(target, day, origin ~ ' <> ' ~ target) }}) as target_leg
    ) as ecb on true
{%- endmacro %}
