{#- Within how many days conversion counts, and how far back a lead is fresh: a setting, see moment.sql. -#}
{% macro lead_horizon_days() -%}
    {{ return(run_value('lead_horizon_days', '90') | int) }}
{%- endmacro %}

{#- No further apart than the horizon: else leads that come and go between two moments would never be seen. -#}
{% macro lead_moment_every_days() -%}
    {{ return([var('moment_every_days'), lead_horizon_days()] | min) }}
{%- endmacro %}

{#-
  One row per open lead as known at each of some moments: the one logic of live scoring and of training. `moments` is
  the SQL of a relation (partner, moment). Whether a lead was open is proved by its own dates; stage, source,
  country and attributes are those of the versions valid at the moment, and unknown if none was.
-#}
{% macro leads_at(moments) -%}
with persons as (

    select * from {{ ref('contact_view') }}

),

partners as (

    select * from {{ source('integrator', 'partner') }}

),

moments as (

    {{ moments }}

),

open_leads as (

    select
        persons.partner,
        persons.person_id,
        persons.platform,
        persons.contact_id,
        persons.created_at,
        persons.converted_at,
        persons.is_pooling_allowed,
        moments.moment,
        partners.timezone
    from persons
    inner join partners on persons.partner = partners.partner
    inner join moments
        on
            persons.partner = moments.partner
            and persons.created_at <= moments.moment
            and persons.created_at > {{ add_days('moments.moment', '-' ~ lead_horizon_days()) }}
    where
        (persons.converted_at is null or persons.converted_at > moments.moment)
        and (persons.lost_at is null or persons.lost_at > moments.moment)

),

final as (

    select
        -- keys
        open_leads.partner,
        open_leads.platform,
        open_leads.contact_id,
        open_leads.person_id,
        open_leads.moment as as_of,

        -- when
        open_leads.created_at,
        {{ iso_weekday(local_date('open_leads.created_at', 'open_leads.timezone')) }} as created_weekday,
        {{ local_hour('open_leads.created_at', 'open_leads.timezone') }} as created_hour,
        {{ local_date('open_leads.moment', 'open_leads.timezone') }}
        - {{ local_date('open_leads.created_at', 'open_leads.timezone') }} as age_days,

        -- what was known of it
        known.stage,
        known.source,
        known.country,
        {{ merged_attributes('known.attribute_maps') }} as attributes,

        -- what it had bought
        coalesce(bought.purchases, 0) as purchases,
        coalesce(bought.spent, 0) as spent,

        -- how it is used
        cast({{ lead_horizon_days() }} as integer) as horizon_days,
        open_leads.is_pooling_allowed as pooling_allowed,

        -- what it stands on
        {{ input_position() }} as input_position,
        open_leads.converted_at
    from open_leads
    cross join lateral (
        select
            {{ last_value_by('version.stage', 'version.valid_from') }} as stage,
            {{ first_value_by('version.source', 'version.created_at') }} as source,
            {{ last_value_by('version.country', 'version.valid_from') }} as country,
            coalesce(
                array_agg(version.attributes order by version.valid_from, version.version_id)
                filter (where version.version_id is not null),
                array[{{ no_attributes() }}]
            ) as attribute_maps
        from {{ ref('identity') }} as member
        inner join {{ ref('stg_contact_version') }} as version
            on
                member.partner = version.partner
                and member.platform = version.platform
                and member.native_id = version.contact_id
        where
            member.partner = open_leads.partner
            and member.person_id = open_leads.person_id
            and version.created_at <= open_leads.moment
            and {{ is_valid_at('version', 'open_leads.moment') }}
            and not {{ is_deleted_at('version', 'open_leads.moment') }}
    ) as known
    cross join lateral (
        select
            cast(count(*) filter (where {{ known_of_line('line', 'quantity', 'open_leads.moment') }} > 0) as integer)
                as purchases,
            sum({{ known_of_line('line', 'amount_reported', 'open_leads.moment') }}) as spent
        from {{ ref('identity') }} as member
        inner join {{ ref('sale_history') }} as line
            on
                member.partner = line.partner
                and member.platform = line.platform
                and member.native_id = line.contact_id
        where
            member.partner = open_leads.partner
            and member.person_id = open_leads.person_id
            and line.is_counted
            and {{ is_line_known_at('line', 'open_leads.moment') }}
    ) as bought

)
{%- endmacro %}
