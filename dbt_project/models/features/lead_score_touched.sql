-- The contact itself touches its person's row; a sale line touches that of whoever bought it, then or now.
select
    member.partner,
    'contact' as kind,
    member.platform,
    member.native_id,
    member.person_id as key,
    member.platform as subject_platform,
    'contact' as subject_kind,
    member.native_id as subject_id
from {{ ref('identity') }} as member
union all
select
    line.partner,
    'sale' as kind,
    line.platform,
    line.sale_id as native_id,
    member.person_id as key,
    member.platform as subject_platform,
    'contact' as subject_kind,
    member.native_id as subject_id
from ({{ each_sale_version() }}) as line
inner join {{ ref('identity') }} as member
    on
        line.partner = member.partner
        and line.platform = member.platform
        and line.contact_id = member.native_id
