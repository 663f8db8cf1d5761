{#- What the adapters spell differently. -#}
{% macro local_time(moment, zone) -%}
    {{ return(adapter.dispatch('local_time')(moment, zone)) }}
{%- endmacro %}
{% macro default__local_time(moment, zone) -%} from_utc_timestamp({{ moment }}, {{ zone }}) {%- endmacro %}
{% macro postgres__local_time(moment, zone) -%} ({{ moment }} at time zone {{ zone }}) {%- endmacro %}

{% macro local_date(moment, zone) -%} cast({{ local_time(moment, zone) }} as date) {%- endmacro %}

{% macro local_hour(moment, zone) -%} cast(extract(hour from {{ local_time(moment, zone) }}) as integer) {%- endmacro %}

{#- Monday is 1, Sunday 7. -#}
{% macro iso_weekday(date) -%} cast(extract({{ 'isodow' if target.type == 'postgres' else 'dayofweek_iso' }} from {{ date }}) as integer) {%- endmacro %}

{% macro month_of(date) -%} cast(extract(month from {{ date }}) as integer) {%- endmacro %}

{% macro add_days(moment, days) -%}
    {{ return(adapter.dispatch('add_days')(moment, days)) }}
{%- endmacro %}
{% macro default__add_days(moment, days) -%} ({{ moment }} + make_interval(0, 0, 0, {{ days }})) {%- endmacro %}
{% macro postgres__add_days(moment, days) -%} ({{ moment }} + ({{ days }}) * interval '24 hours') {%- endmacro %}

{#- The value on the last (or first) row by an order, nulls left out. -#}
{% macro last_value_by(value, order) -%}
    {{ return(adapter.dispatch('last_value_by')(value, order)) }}
{%- endmacro %}
{% macro default__last_value_by(value, order) -%} max_by({{ value }}, {{ order }}) {%- endmacro %}
{% macro postgres__last_value_by(value, order) -%}
    (array_agg({{ value }} order by {{ order }} desc) filter (where {{ value }} is not null))[1]
{%- endmacro %}

{% macro first_value_by(value, order) -%}
    {{ return(adapter.dispatch('first_value_by')(value, order)) }}
{%- endmacro %}
{% macro default__first_value_by(value, order) -%} min_by({{ value }}, {{ order }}) {%- endmacro %}
{% macro postgres__first_value_by(value, order) -%}
    (array_agg({{ value }} order by {{ order }}) filter (where {{ value }} is not null))[1]
{%- endmacro %}

{% macro attribute(attributes, name) -%}
    {{ return(adapter.dispatch('attribute')(attributes, name)) }}
{%- endmacro %}
{% macro default__attribute(attributes, name) -%} get_json_object({{ attributes }}, '$.{{ name }}') {%- endmacro %}
{% macro postgres__attribute(attributes, name) -%} ({{ attributes }} ->> '{{ name }}') {%- endmacro %}

{% macro no_attributes() -%}
    {{ return(adapter.dispatch('no_attributes')()) }}
{%- endmacro %}
{% macro default__no_attributes() -%} '{}' {%- endmacro %}
{% macro postgres__no_attributes() -%} cast('{}' as jsonb) {%- endmacro %}

{#- One flat map out of several, oldest first: what a later map says stands. -#}
{% macro merged_attributes(maps) -%}
    {{ return(adapter.dispatch('merged_attributes')(maps)) }}
{%- endmacro %}
{% macro postgres__merged_attributes(maps) -%}
    case
        when cardinality({{ maps }}) = 1 then ({{ maps }})[1]
        else coalesce((
            select jsonb_object_agg(pair.key, pair.value order by map.position)
            from unnest({{ maps }}) with ordinality as map (pairs, position)
            cross join lateral jsonb_each(map.pairs) as pair (key, value)
        ), {{ no_attributes() }})
    end
{%- endmacro %}

{#- Rows (moment): every `every_days` back from `newest`, none before `oldest`. -#}
{% macro moments(newest, oldest, every_days) -%}
    {{ return(adapter.dispatch('moments')(newest, oldest, every_days)) }}
{%- endmacro %}
{% macro postgres__moments(newest, oldest, every_days) -%}
    generate_series(date_trunc('day', {{ newest }}, 'UTC'), {{ oldest }}, ({{ every_days }}) * interval '-24 hours')
{%- endmacro %}
