{% set at_moments -%}
    select partner.partner, {{ as_of() }} as moment
    from {{ source('integrator', 'partner') }} as partner
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
    final.input_position
from final
