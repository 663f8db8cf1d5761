{#-
  Who is one person: the crosswalk of the night (all contacts, or the touched ones) and of the stream (the ones that a
  record has just touched), by the same SQL. `is_some`: only the keys in the temporary table touched_keys.
-#}
{% macro identity_rows(is_some) -%}
with recursive contacts as (

    select * from {{ ref('stg_contact') }}

),

consents as (

    select * from {{ ref('consent_view') }}

),

numbered as (

    -- The earliest contact of a person comes first and names the person, so a later record never renames one.
    select
        contacts.partner,
        contacts.platform,
        contacts.contact_id as native_id,
        contacts.email_hash,
        contacts.phone_hash,
        contacts.consent_processing,
        row_number() over (
            order by contacts.partner, contacts.created_at, contacts.platform, contacts.contact_id
        ) as node
    from contacts
    {% if is_some %}
        inner join touched_keys
            on
                contacts.partner = touched_keys.partner
                and contacts.platform = touched_keys.platform
                and contacts.contact_id = touched_keys.native_id
    {% endif %}

),

bucketed as (

    select
        numbered.*,
        case when numbered.email_hash is null then numbered.node else min(numbered.node) over (
            partition by numbered.partner, numbered.email_hash
        ) end as email_first,
        case when numbered.phone_hash is null then numbered.node else min(numbered.node) over (
            partition by numbered.partner, numbered.phone_hash
        ) end as phone_first,
        numbered.email_hash is not null and count(*) over (
            partition by numbered.partner, numbered.email_hash
        ) > 1 as is_email_shared,
        numbered.phone_hash is not null and count(*) over (
            partition by numbered.partner, numbered.phone_hash
        ) > 1 as is_phone_shared
    from numbered

),

edges as (

    -- A star around the first of each bucket: as connected as all pairs, at linear cost.
    select
        bucketed.node as from_node,
        bucketed.email_first as to_node
    from bucketed
    where bucketed.email_first < bucketed.node
    union
    select
        bucketed.node as from_node,
        bucketed.phone_first as to_node
    from bucketed
    where bucketed.phone_first < bucketed.node
    union
    select
        bucketed.email_first as from_node,
        bucketed.node as to_node
    from bucketed
    where bucketed.email_first < bucketed.node
    union
    select
        bucketed.phone_first as from_node,
        bucketed.node as to_node
    from bucketed
    where bucketed.phone_first < bucketed.node

),

reached as (

    -- Every component's first contact is the first of both its buckets: starting there alone is enough.
    select
        bucketed.node as root,
        bucketed.node
    from bucketed
    where
        bucketed.email_first = bucketed.node
        and bucketed.phone_first = bucketed.node
        and (bucketed.is_email_shared or bucketed.is_phone_shared)
    union
    select
        reached.root,
        edges.to_node as node
    from reached
    inner join edges on reached.node = edges.from_node

),

rooted as (

    select
        reached.node,
        min(reached.root) as root
    from reached
    group by reached.node

),

members as (

    select
        bucketed.*,
        coalesce(rooted.root, bucketed.node) as root
    from bucketed
    left join rooted on bucketed.node = rooted.node

),

persons as (

    -- One explicit no stops the person; else one explicit yes is enough; else the partner's default, record by record.
    select
        members.root,
        bool_or(coalesce(members.consent_processing, '') = 'denied') as is_denied,
        bool_or(consents.is_processing_allowed) as is_processing_allowed
    from members
    inner join consents
        on
            members.partner = consents.partner
            and members.platform = consents.platform
            and members.native_id = consents.contact_id
    group by members.root

),

final as (

    select
        -- keys
        members.partner,
        members.platform,
        members.native_id,

        -- the person
        'per_' || substring(
            md5(first_one.partner || '/' || first_one.platform || '/' || first_one.native_id) from 1 for 24
        ) as person_id,
        members.node = members.root as is_canonical,
        case
            when members.is_email_shared and members.is_phone_shared then 'email_and_phone'
            when members.is_email_shared then 'email'
            when members.is_phone_shared then 'phone'
            else 'none'
        end as matched_by,

        -- what it stands on
        {{ input_position() }} as input_position
    from members
    inner join members as first_one on members.root = first_one.node
    inner join persons on members.root = persons.root
    where persons.is_processing_allowed and not persons.is_denied

)

select * from final
{%- endmacro %}

{#- One writer of the crosswalk at a time, until the transaction ends: what both replaced would stand there twice. -#}
{% macro lock_identities() -%}
    {{ return(adapter.dispatch('lock_identities')()) }}
{%- endmacro %}
{% macro default__lock_identities() -%}{%- endmacro %}
{% macro postgres__lock_identities() -%}
    select pg_advisory_xact_lock(hashtextextended('harmonized.identity', 0))
{%- endmacro %}

{#-
  After the crosswalk: the function by which the stream brings a partner's contacts into it. It returns every contact
  whose person may differ now. It runs with its caller's rights, so row-level security holds a caller to its partner.
-#}
{% macro identity_function() -%}
    {{ return(adapter.dispatch('identity_function')()) }}
{%- endmacro %}
{% macro default__identity_function() -%}{%- endmacro %}
{% macro postgres__identity_function() -%}
    {%- set touched -%}
        select of_partner as partner, key.platform, key.native_id
        from unnest(platforms, native_ids) as key (platform, native_id)
    {%- endset -%}
    create or replace function harmonized.renew_identities(of_partner text, platforms text[], native_ids text[])
    returns table (platform text, native_id text) language plpgsql as $function$
    #variable_conflict use_column
    begin
        perform pg_advisory_xact_lock(hashtextextended('harmonized.identity', 0));
        perform set_config('integrator.position', cast(pg_current_xact_id() as text), true);
        create temporary table touched_keys on commit drop as {{ touched_identities(touched, this) }};
        analyze touched_keys;
        delete from {{ this }} as known using touched_keys
        where known.partner = touched_keys.partner and known.platform = touched_keys.platform
            and known.native_id = touched_keys.native_id;
        insert into {{ this }} (partner, platform, native_id, person_id, is_canonical, matched_by, input_position)
        select partner, platform, native_id, person_id, is_canonical, matched_by, input_position
        from ({{ identity_rows(true) }}) as rows_now;
        return query select touched_keys.platform, touched_keys.native_id from touched_keys;
    end
    $function$;
    revoke execute on function harmonized.renew_identities(text, text[], text[]) from public;
    grant execute on function harmonized.renew_identities(text, text[], text[]) to integrator_service
{%- endmacro %}
