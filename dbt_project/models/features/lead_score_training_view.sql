{#-
  Whole horizons only: the newest moment is one horizon ago, so every label is settled. Moments begin with their day:
  two nights of one day train on the same rows.
-#}
{% set at_moments -%}
    select oldest.partner, series.moment
    from (
        select contact.partner, min(contact.created_at) as created_at
        from {{ ref('contact') }} as contact
        group by contact.partner
    ) as oldest
    cross join lateral {{ moments(add_days(as_of(), '-' ~ lead_horizon_days()), 'oldest.created_at', lead_moment_every_days()) }}
        as series (moment)
{%- endset %}

{{ leads_at(at_moments) }}

select
    -- keys
    final.partner,
    final.platform,
    final.contact_id,
    final.person_id,
    final.as_of,

    -- when
    final.created_at,
    final.created_weekday,
    final.created_hour,
    final.age_days,

    -- what was known of it
    final.stage,
    final.source,
    final.country,
    final.attributes,

    -- what it had bought
    final.purchases,
    final.spent,

    -- how it is used
    final.horizon_days,
    final.pooling_allowed,
    final.input_position,

    -- the outcome
    coalesce(
        final.converted_at <= {{ add_days("final.as_of", lead_horizon_days()) }}, false
    ) as converted
from final
