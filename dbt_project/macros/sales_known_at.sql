{#-
  Which sale lines were known at a moment, and what of them. A line proves itself by its `sold_at`; what is said of
  it later (a refund, a cancellation) is known from the version valid then. A line first seen after the moment
  counts as it was sold: whole, for its refund has no date of its own.
-#}
{% macro is_line_known_at(line, moment) -%}
    (
        {{ line }}.sold_at <= {{ moment }}
        and not {{ is_deleted_at(line, moment) }}
        and (
            {{ is_valid_at(line, moment) }}
            or ({{ line }}.valid_from > {{ moment }} and {{ is_first_version('sale', line, line ~ '.sale_id') }})
        )
    )
{%- endmacro %}

{% macro known_of_line(line, what, moment) -%}
    case when {{ line }}.valid_from <= {{ moment }} then {{ line }}.net_{{ what }} else {{ line }}.gross_{{ what }} end
{%- endmacro %}

{#-
  The same rule for every moment at once: rows (moment, quantity) of a version of a line, whose sum up to any moment
  is what `known_of_line` says then. A refund moves the curve on the day it was said, not on the day of the sale.
-#}
{% macro line_changes(line) -%}
    {%- set seen = 'greatest(' ~ line ~ '.valid_from, ' ~ line ~ '.sold_at)' -%}
    {%- set gone = 'least(' ~ line ~ '.valid_to, ' ~ line ~ '.deleted_at)' -%}
    {%- set first_said = 'least(' ~ line ~ '.valid_from, ' ~ line ~ '.deleted_at)' -%}
    {%- set was_valid = '(' ~ gone ~ ' is null or ' ~ gone ~ ' > ' ~ seen ~ ')' -%}
    {%- set was_unseen -%}
        {{ first_said }} > {{ line }}.sold_at and {{ is_first_version('sale', line, line ~ '.sale_id') }}
    {%- endset -%}
    {{ return(adapter.dispatch('line_changes')(line, seen, gone, first_said, was_valid, was_unseen)) }}
{%- endmacro %}

{% macro default__line_changes(line, seen, gone, first_said, was_valid, was_unseen) -%}
    select inline(filter(array(
        struct({{ seen }} as moment, case when {{ was_valid }} then {{ line }}.net_quantity end as quantity),
        struct({{ gone }}, case when {{ was_valid }} then -{{ line }}.net_quantity end),
        struct({{ line }}.sold_at, case when {{ was_unseen }} then {{ line }}.gross_quantity end),
        struct({{ first_said }}, case when {{ was_unseen }} then -{{ line }}.gross_quantity end)
    ), change -> change.quantity <> 0))
{%- endmacro %}

{% macro postgres__line_changes(line, seen, gone, first_said, was_valid, was_unseen) -%}
    select {{ seen }} as moment, {{ line }}.net_quantity as quantity
    where {{ line }}.net_quantity <> 0 and {{ was_valid }}
    union all
    select {{ gone }} as moment, -{{ line }}.net_quantity as quantity
    where {{ line }}.net_quantity <> 0 and {{ was_valid }} and {{ gone }} is not null
    union all
    select by_then.moment, by_then.quantity
    from (
        values ({{ line }}.sold_at, {{ line }}.gross_quantity), ({{ first_said }}, -{{ line }}.gross_quantity)
    ) as by_then (moment, quantity)
    where {{ line }}.gross_quantity <> 0 and {{ was_unseen }}
{%- endmacro %}

{#- What was sold by the end of each day before the start, furthest first: [[30, 5], [29, 9]]; later changes are left out. -#}
{% macro curve(days_out, sold) -%}
    {{ return(adapter.dispatch('curve')(days_out, sold)) }}
{%- endmacro %}
{% macro default__curve(days_out, sold) -%}
    to_json(sort_array(collect_list(array({{ days_out }}, {{ sold }})) filter (where {{ days_out }} >= 0), false))
{%- endmacro %}
{% macro postgres__curve(days_out, sold) -%}
    coalesce(
        jsonb_agg(jsonb_build_array({{ days_out }}, {{ sold }}) order by {{ days_out }} desc)
        filter (where {{ days_out }} >= 0),
        cast('[]' as jsonb)
    )
{%- endmacro %}

{% macro is_first_version(kind, version, native_id) -%}
    not exists (
        select 1
        from {{ source('landing', kind) }} as earlier
        where
            earlier.partner = {{ version }}.partner
            and earlier.platform = {{ version }}.platform
            and earlier.native_id = {{ native_id }}
            and earlier.valid_to is not null -- what another one follows is closed; says so for the index
            and (earlier.valid_from, earlier.version_id) < ({{ version }}.valid_from, {{ version }}.version_id)
    )
{%- endmacro %}
