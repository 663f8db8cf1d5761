{{ config(
    materialized='incremental',
    incremental_strategy='touched',
    unique_key=['partner', 'platform', 'native_id'],
    pre_hook="{{ take_touched(touched_identities()) }}",
    indexes=[
        {'columns': ['partner', 'platform', 'native_id']},
        {'columns': ['partner', 'person_id']},
        {'columns': ['input_position']},
    ],
) }}

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
    {% if is_incremental() %}
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
