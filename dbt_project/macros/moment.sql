{#-
  The moment features are read at, and the position in the log of changes they stand on. Both are settings of
  the session, so that one view serves the night (which sets them, see set_moment), a replay of a past moment and
  a live question (which sets nothing and gets the present).
-#}
{#-
  What differs from run to run comes from the environment and only when a query is made: a changed `--vars`, or an
  environment variable read while parsing, would make dbt parse the whole project again every night (3 s).
-#}
{% macro run_value(name, default='') -%}
    {%- if execute -%} {{ return(env_var('INTEGRATOR_DBT_' ~ name | upper, default)) }} {%- endif -%}
    {{ return(default) }}
{%- endmacro %}

{% macro as_of() -%}
    {{ return(adapter.dispatch('as_of')()) }}
{%- endmacro %}

{% macro default__as_of() -%}
    {%- if run_value('as_of') -%} cast('{{ run_value("as_of") }}' as timestamp)
    {%- else -%} current_timestamp {%- endif -%}
{%- endmacro %}

{% macro postgres__as_of() -%}
    coalesce(cast(nullif(current_setting('integrator.as_of', true), '') as timestamptz), current_timestamp)
{%- endmacro %}

{% macro input_position() -%}
    {{ return(adapter.dispatch('input_position')()) }}
{%- endmacro %}

{% macro default__input_position() -%}
    cast({{ run_value('position_high') or 0 }} as bigint)
{%- endmacro %}

{% macro postgres__input_position() -%}
    coalesce(
        cast(nullif(current_setting('integrator.position', true), '') as bigint),
        cast(cast(pg_snapshot_xmin(pg_current_snapshot()) as text) as bigint)
    )
{%- endmacro %}

{#- Before each model, in its transaction. -#}
{% macro set_moment() -%}
    {{ return(adapter.dispatch('set_moment')()) }}
{%- endmacro %}

{% macro default__set_moment() -%}{%- endmacro %}

{% macro postgres__set_moment() -%}
    select
        set_config('integrator.as_of', '{{ run_value("as_of") }}', true),
        set_config('integrator.position', '{{ run_value("position_high") }}', true)
{%- endmacro %}

{#- The version that was valid at a moment; `version` is an alias with valid_from and valid_to. -#}
{% macro is_valid_at(version, moment) -%}
    ({{ version }}.valid_from <= {{ moment }} and ({{ version }}.valid_to is null or {{ version }}.valid_to > {{ moment }}))
{%- endmacro %}

{% macro is_deleted_at(version, moment) -%}
    ({{ version }}.deleted_at is not null and {{ version }}.deleted_at <= {{ moment }})
{%- endmacro %}
