{#-
  Before a run: fresh statistics of landing tables of which a tenth has changed since the last ones. The first load of
  a partner is faster than autovacuum's next round, and without statistics the first night takes minutes, not seconds.
-#}
{% macro analyze_landing() -%}
    {{ return(adapter.dispatch('analyze_landing')()) }}
{%- endmacro %}

{% macro default__analyze_landing() -%}{%- endmacro %}

{% macro postgres__analyze_landing() -%}
    {%- if execute and flags.WHICH in ('build', 'run') -%}
        {%- set stale = run_query("
            select relname from pg_stat_all_tables
            where schemaname = 'landing' and relname in ('event', 'contact', 'sale')
                and n_mod_since_analyze > 50 + 0.1 * n_live_tup
        ") -%}
        {%- for row in stale.rows %}
            analyze landing.{{ row[0] }};
        {%- endfor %}
    {%- endif -%}
{%- endmacro %}
