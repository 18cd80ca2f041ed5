"""What transformers' renderer writes for many templates: test/fixtures/chat-template-values.json."""
import json
import pathlib
from transformers.utils.chat_template_utils import render_jinja_template

MESSAGES = {
    'str': [{'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': ' hi  '}, {'role': 'assistant', 'content': 'A "cat".\n'}, {'role': 'user', 'content': "And? it's é😀"}],
    'parts': [{'role': 'user', 'content': [{'type': 'image'}, {'type': 'text', 'text': ' What is <this> & "that"? é😀 '}]}, {'role': 'assistant', 'content': [{'type': 'text', 'text': 'A cat.\n'}]}],
}
TEMPLATES = r'''
{{ messages }}
{{ messages[0] }}{{ messages[0].content }}{{ messages|length }}
{{ messages | tojson }}|{{ messages[0] | tojson(indent=2) }}|{{ messages[-1]|tojson(ensure_ascii=true) }}
{{ messages | tojson(indent=4, sort_keys=true) }}|{{ {'b': 1.0, 'a': [true, none, 2.5e-7]}|tojson(separators=(',', ':'), sort_keys=true) }}
{{ {'a': [], 'b': {}, 'c': [1]} | tojson(indent=0) }}|{{ [1,[2,{'x':'y'}]]|tojson(indent='\t') }}|{{ {1:2, true:3, none:4, 1.5:5}|tojson }}
{{ '\u007f\u2028é' | tojson }}{{ '\u007f\u2028é😀"\\' | tojson(ensure_ascii=True) }}{{ (1,2)|tojson }}
{{ x }}|{{ x|tojson }}
{{ x.y }}
{{ x.y.z }}
{{ messages[0].nothing }}|{{ messages[99] }}|{{ messages[0]['nothing'] }}|{{ 'abc'[7] }}
{{ messages[0].nothing.more }}
{{ x + 1 }}
{{ x ~ 'a' }}|{{ x == y }}|{{ x is defined }}|{{ [x] }}|{{ not x }}|{{ x|length }}|{{ x|upper }}|{{ x in [1] }}|{{ 1 in x }}
{{ true }}{{ false }}{{ none }}{{ True }}{{ None }}{{ [true, none, 'a', "it's", 'q"', 'b\'"', 1, 1.0, (1,), (), {}, []] }}
{{ 1.0 }} {{ 1e3 }} {{ 1.5e300 }} {{ 1e16 }} {{ 123456789012345680.0 }} {{ 1e15 }} {{ 0.0001 }} {{ 0.00001 }} {{ 1e-7 }} {{ 0.1 + 0.2 }} {{ -0.0 }} {{ 1E5 }} {{ 2.5e-5 * 2 }} {{ 0.00012 }}
{{ 7 / 2 }} {{ 8 / 2 }} {{ 7 // 2 }} {{ -7 // 2 }} {{ -7 % 3 }} {{ 7 % -3 }} {{ 7.5 // 2 }} {{ -7.5 % 2 }} {{ 2 ** 10 }} {{ 2 ** -1 }} {{ 2 ** 3 ** 2 }} {{ -2 ** 2 }} {{ 2 ** 70 }} {{ 7.0 // -2 }}
{{ 1 / 0 }}
{{ 5 % 0 }}
{{ 1 + true }} {{ true + true }} {{ 1 == 1.0 }} {{ true == 1 }} {{ '1' == 1 }} {{ 3 * 1.5 }} {{ 10000000000000000000 + 1 }} {{ 1_000 }} {{ 0x1f }} {{ 0b101 }} {{ 0o17 }}
{{ 1 < 2 < 3 }} {{ 3 > 2 > 2 }} {{ 1 < 2 == true }} {{ 'a' < 'b' }} {{ [1,2] < [1,3] }} {{ 1 != 2 }} {{ 'a' in 'cat' in ['cat'] }} {{ 1 not in [1] }} {{ not 1 in [2] }}
{{ 'a' < 1 }}
{{ 'a' + 1 }}
{{ [1] + (2,) }}
{{ 'a' * 3 }}{{ 3 * 'ab' }}{{ [1] * 2 }}{{ (1,) * 2 }}{{ 'a' * -1 }}{{ 'a' * 0 }}
{{ '%s and %r' % ('a', 'b') }}|{{ '%d%%' % 5 }}|{{ '%.2f' % 2.675 }}|{{ '%5d|%-5d|%05d' % (1, 2, 3) }}|{{ '%s' % [1] }}|{{ '%s' % none }}|{{ '%x %X' % (255, 255) }}|{{ '%(a)s' % {'a': 1} }}|{{ '%+d' % 3 }}|{{ '%5s|%-5s|%.2s' % ('a','b','cde') }}|{{ '%.0f %.0f %.1f' % (0.5, 1.5, 0.25) }}
{{ '%d' % 'a' }}
{{ '%s' % (1, 2) }}
{{ '%s %s' % 'a' }}
{{ '{} {} {{}} {a}'.format(1, 'b', a=none) }}|{{ '{0}{1}{0}'.format('x', 'y') }}|{{ "%s-%s"|format('a', 2) }}
{{ 'Hello World'.upper() }}{{ 'ABC'.lower() }}{{ "they're bill's".title() }}{{ "they're bill's"|title }}{{ 'hELLO wORLD'.capitalize() }}{{ 'hELLO'|capitalize }}
{{ '  a b '.strip() }}|{{ '  a '.lstrip() }}|{{ '  a '.rstrip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'abcba'.lstrip('ab') }}|{{ '  a '|trim }}|{{ '--a'|trim('-') }}
{{ 'a,b,,c'.split(',') }}{{ ' a  b '.split() }}{{ 'a b c'.split(' ', 1) }}{{ 'a b c'.split(none, 1) }}{{ 'a b c'.rsplit(' ', 1) }}{{ 'a\nb\r\nc\n'.splitlines() }}{{ ''.split(',') }}{{ ''.split() }}
{{ 'a</think>b</think>c'.split('</think>')[-1].lstrip('\n') }}{{ 'abc'.split('') }}
{{ 'a-b'.partition('-') }}{{ 'ab'.partition('-') }}{{ 'a-b-c'.rpartition('-') }}{{ 'a.b'.removeprefix('a.') }}{{ 'a.b'.removesuffix('.b') }}
{{ 'abcabc'.find('c') }}{{ 'abc'.find('z') }}{{ 'abcabc'.rfind('c') }}{{ 'abcabc'.count('bc') }}{{ 'abc'.index('b') }}{{ 'abc'.find('c', 1) }}{{ '😀c'.find('c') }}
{{ 'abc'.index('z') }}
{{ '42'.zfill(5) }}{{ '-42'.zfill(5) }}{{ 'a'.ljust(3) }}|{{ 'a'.rjust(3, '*') }}|{{ 'ab'.center(5, '*') }}|{{ 'abc'|center(6) }}|{{ 'a'.center(4,'*') }}
{{ 'abc'.isalpha() }}{{ '12'.isdigit() }}{{ 'a1'.isalnum() }}{{ ' '.isspace() }}{{ 'Ab'.isupper() }}{{ 'ab1'.islower() }}{{ ''.isdigit() }}
{{ 'abc'.replace('b', 'x') }}{{ 'aaa'.replace('a', 'b', 2) }}{{ 'aaa'|replace('a', 'b', 1) }}{{ 'ab'.replace('', '-') }}
{{ 'abc'.startswith(('x', 'a')) }}{{ 'abc'.endswith('bc') }}{{ '-'.join(['a', 'b']) }}{{ '-'.join(messages[0]) }}
{{ '-'.join([1]) }}
{% set d = {'a': none} %}{{ d.a }}{{ d['a'] }}{{ d.get('a', 5) }}{{ d.a is defined }}{{ [none]|first }}{{ [none]|last }}{{ [none][0] }}{{ 'x'|int(none) }}{{ x|default(none) }}{% macro m(a=1) %}{{ a }}{% endmacro %}{{ m(none) }}{{ m(a=none) }}{% set n = none %}{{ n }}{% for i in [none, 1] %}{{ loop.previtem }}{{ loop.nextitem }}{% endfor %}{% set ns = namespace(a=none) %}{{ ns.a }}
{% set loop = 5 %}{{ loop }}{% for messages in [1] %}{{ messages }}{% endfor %}
{% set x %}{{ 1 }}{% endset %}{{ x + 'a' }}{{ x is string }}{% if '' is string and x == '1' %}y{% endif %}
{{ 1 if x is defined else 2 }}{{ x is defined and x }}{{ 'a' if messages is defined and messages|length > 0 else 'b' }}{{ (messages is defined) == true }}
{{ [1,2]|join(', ') ~ '!' }}{{ ([1,2]|length + 1) * 2 }}{{ -[1,2]|length }}{{ 2 - 1|int }}{{ 10 - 3 - 2 }}{{ 2 / 4 * 2 }}{{ not 1 == 2 }}{{ 1 + 2 ~ 3 }}
{{ 'a' is in 'abc' }}{{ 5 is not divisibleby 2 }}{{ 1 is odd and 2 is even }}{{ 'x' is not string or true }}{{ [] is none }}{{ 1.5 is integer }}
{{ 'İ'.lower()|length }}{{ 'ß'.upper() }}{{ 'éa'|title }}{{ 'o’neil o.k 3rd'.title() }}{{ 'ÀB'|capitalize }}{{ 'a-b (c) d/e'|title }}
{{ 'abc'.nothing }}|{{ 'abc'.nothing is defined }}
{{ 'abc'.nothing() }}
{{ 'héllo😀'|length }}{{ 'a😀b'[1] }}{{ 'a😀b'[::-1] }}{{ 'a😀b'|reverse }}{{ 'a😀'|list }}{{ ['\x00\x7f\xa0\xad\u200b\u2028é😀\t\n\\'] }}
{{ 'abcdef'[1:3] }}{{ 'abcdef'[-2:] }}{{ 'abcdef'[::2] }}{{ 'abcdef'[4:1:-1] }}{{ [1,2,3][::-1] }}{{ (1,2,3)[1:] }}{{ [1,2,3][:100] }}{{ [1,2,3][-100:1] }}{{ [1,2,3][5:] }}{{ 'abc'[:none] }}
{{ messages[1:] }}{{ messages[:1]|length }}{{ messages[0].role[0] }}{{ messages[0]['role'][-1] }}{{ messages.0.role }}
{{ [3,1,2]|sort }}{{ [3,1,2]|sort(reverse=true) }}{{ ['b','A','c']|sort }}{{ ['b','A','c']|sort(case_sensitive=true) }}{{ messages|sort(attribute='role')|map(attribute='role')|list }}
{{ [3,1,2]|max }}{{ [3,1,2]|min }}{{ ['a','B']|max }}{{ [1,2.5]|max }}{{ []|max }}|{{ [1,2,3]|sum }}{{ [{'a':1},{'a':2}]|sum(attribute='a') }}
{{ [1,'a']|sort }}
{{ [1,2,2,1]|unique|list }}{{ ['a','A']|unique|list }}{{ [1,2,3,4,5]|batch(2)|list }}{{ [1,2,3]|batch(2, 'x')|list }}
{{ [1,2,3]|first }}{{ [1,2,3]|last }}{{ []|first }}|{{ 'abc'|first }}{{ 'abc'|last }}{{ [1,2]|reverse|list }}{{ {'a':1}|list }}{{ {'a':1}|length }}
{{ [1,2,3]|select('odd')|list }}{{ [1,2,3]|reject('odd')|list }}{{ [0,1,'',none]|select|list }}{{ [1,2,3]|select('>', 1)|list }}{{ [1,2]|map('string')|list }}{{ ['a']|map('upper')|join }}
{{ messages|selectattr('role','equalto','user')|map(attribute='role')|list }}{{ messages|selectattr('role','in',['user'])|list|length }}{{ messages|rejectattr('role','eq','user')|list|length }}{{ messages|selectattr('nothing')|list }}{{ messages|map(attribute='nothing', default='d')|join(',') }}
{{ messages|map(attribute='role')|length }}
{% set g = messages|map(attribute='role') %}{{ g|list }}{{ g|list }}
{{ '3'|int }}{{ '3.7'|int }}{{ 'x'|int }}{{ 'x'|int(5) }}{{ 3.9|int }}{{ -3.9|int }}{{ true|int }}{{ none|int }}{{ '3.5'|float }}{{ 'x'|float }}{{ 3|float }}{{ '1e3'|float }}{{ ' 7 '|int }}
{{ 2.5|round }}{{ 3.5|round }}{{ 2.675|round(2) }}{{ 1.25|round(1) }}{{ 3|round }}{{ 2.1|round(0,'ceil') }}{{ 2.9|round(method='floor') }}{{ -2.5|round }}{{ -3|abs }}{{ -3.5|abs }}{{ 42.55|round(1)|string }}
{{ x|default('d') }}{{ ''|default('d') }}|{{ ''|default('d', true) }}{{ none|default('d') }}{{ x|d('e') }}{{ x|default }}|{{ messages[0].nothing|default(none) }}
{{ '<a href="x">\'&'|e }}{{ '<b>'|escape }}{{ '<b>'|safe }}
{{ 'a\nb\n\nc'|indent }}|{{ 'a\nb'|indent(2, true) }}|{{ 'a\n\nb'|indent(2, blank=true) }}|{{ 'a\nb'|indent('> ') }}
{{ 'a b  c'|wordcount }}{{ ['a', 1, none, true, 1.0]|join('-') }}{{ messages|join('|', attribute='role') }}{{ 'abc'|join('.') }}
{{ {'b':1,'A':2}|dictsort }}{{ {'b':1,'a':2}|dictsort(by='value') }}{{ {'b':1,'a':2}|dictsort(reverse=true) }}{{ {'a':1}|items|list }}
{{ {'a':1,'b':none}.items() }}{{ {'a':1}.keys() }}{{ {'a':1}.values() }}{{ {'a':1}.items()|list }}{{ {'a':1}.get('a') }}{{ {'a':1}.get('b') }}{{ {'a':1}.get('b', 'd') }}
{% for k, v in {'a':1,'b':[1]}.items() %}{{ k }}={{ v }};{% endfor %}{% for k in {'a':1} %}{{ k }}{% endfor %}{{ 'a' in {'a':1} }}{{ {'a':{'b':1}} }}{{ {1:2}[1] }}{{ {'items':3}['items'] }}{{ dict(a=1, b='x') }}
{{ {'a':1}.pop('a') }}
{{ [].append(1) }}
{{ {'a':1}.nothing }}|{{ {'a':1}|string }}|{{ [1]|string|length }}
{{ range(3) }}{{ range(1,4)|list }}{{ range(5,0,-2)|list }}{{ range(3)|length }}{{ range(3)[1] }}{{ range(0)|list }}{{ 2 in range(3) }}
{{ range(100001) }}
{% for a, b in [(1,2),(3,4)] %}{{ a }}{{ b }}{% endfor %}{% for a, b in [(1,2,3)] %}{% endfor %}
{% for m in messages %}{{ loop.index }}{{ loop.index0 }}{{ loop.first }}{{ loop.last }}{{ loop.length }}{{ loop.revindex }}{{ loop.revindex0 }}{{ loop.cycle('a','b') }}{{ loop.depth }};{% endfor %}
{% for m in messages %}{{ loop.previtem.role if loop.previtem is defined }}>{{ loop.nextitem.role if not loop.last else 'end' }};{% endfor %}
{% for m in messages if m.role == 'user' %}{{ loop.index }}/{{ loop.length }}{{ m.role }}{% else %}none{% endfor %}{% for x in [] %}{% else %}empty{% endfor %}{% for x in nothing %}{% else %}undefined{% endfor %}
{% for i in range(10) %}{% if i == 2 %}{% continue %}{% endif %}{% if i == 5 %}{% break %}{% endif %}{{ i }}{% endfor %}
{% for i in range(3) %}{% for j in range(3) %}{% if j == 1 %}{% break %}{% endif %}{{ i }}{{ j }}{{ loop.index }} {% endfor %}{{ loop.index }}{% endfor %}
{% for c in 'héy' %}[{{ c }}]{% endfor %}{% for m in 5 %}{% endfor %}
{% set x = 1 %}{% for i in range(3) %}{% set x = x + i %}{{ x }}{% endfor %}{{ x }}
{% set ns = namespace(n=0, found=false) %}{% for m in messages %}{% set ns.n = ns.n + 1 %}{% endfor %}{{ ns.n }}{{ ns.found }}{{ ns }}{{ ns.nothing }}
{% set ns = namespace() %}{% set ns.a = [1] %}{% set ns.a = ns.a + [2] %}{{ ns.a }}
{% set d = {} %}{% set d.a = 1 %}{{ d }}
{% set a, b = 1, 'x' %}{{ a }}{{ b }}{% set t = 1, 2 %}{{ t }}{% if true %}{% set q = 5 %}{% endif %}{{ q }}
{% set b %} <{{ messages[0].role }}> {% endset %}[{{ b }}]{% set c | upper %}abc{% endset %}{{ c }}{% filter upper %}a{{ 1.0 }}{% endfilter %}{% filter replace('a','b')|trim %} aa {% endfilter %}
{% macro m(a, b=2, c='x') %}{{ a }}{{ b }}{{ c }};{% endmacro %}{{ m(1) }}{{ m(1, c=3) }}{{ m() }}{{ m(a=9, b=8) }}{{ m(1)|upper }}{{ m(1) ~ 'z' }}{{ m(1)|length }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(1, 2) }}
{% macro m(a) %}{{ a }}{% endmacro %}{{ m(b=2) }}
{% macro m() %}{{ varargs }}{{ kwargs }}{% endmacro %}{{ m(1, 2, x=3) }}
{% macro w(t) %}<{{ t }}>{{ caller() }}</{{ t }}>{% endmacro %}{% call w('b') %}in{{ 1.0 }}{% endcall %}{% macro l(xs) %}{% for x in xs %}{{ caller(x) }}{% endfor %}{% endmacro %}{% call(x) l([1,2]) %}[{{ x }}]{% endcall %}
{% macro f(n) %}{{ n }}{% if n > 0 %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(5) }}
{% set y = 'out' %}{% macro m() %}{{ y }}{{ z }}{% endmacro %}{% for z in [1] %}{{ m() }}{% endfor %}{% set y = 'new' %}{{ m() }}
{% with a = 1, b = 'x' %}{{ a }}{{ b }}{% endwith %}{{ a }}|{% raw %}{{ not }}{% x %}{% endraw %}|
{% for m in messages %}{% if m.role == 'assistant' %}{% generation %} {{ m.content }}{% endgeneration %}{% else %}{{ m.role }}{% endif %}{% endfor %}
{{ raise_exception('no ' ~ 1.0) }}
{{ 'a' if true else 'b' }}{{ 'a' if false }}|{{ 'a' if false else 'b' if false else 'c' }}{{ (1 if none else 2) + 1 }}{{ 1 and 'x' }}{{ 0 or 'y' }}{{ none or false }}{{ [] and 1 }}{{ not [] }}
{{ 3 is odd }}{{ 4 is even }}{{ 6 is divisibleby 3 }}{{ 6 is divisibleby(4) }}{{ 1 is number }}{{ 1.0 is float }}{{ 1 is integer }}{{ true is integer }}{{ true is number }}{{ true is boolean }}{{ 'a' is string }}{{ {} is mapping }}{{ [] is sequence }}{{ {} is sequence }}{{ 'a' is iterable }}{{ 5 is iterable }}{{ none is none }}{{ 1 is none }}{{ 1 is not none }}{{ 1 is eq 1 }}{{ 1 is in [1] }}{{ 'a' is lower }}{{ 'a' is upper }}{{ true is true }}{{ 1 is true }}{{ none is sameas none }}{{ range is callable }}{{ 2 is gt 1 }}{{ (1,) is sequence }}
{{ messages is iterable }}{{ messages is string }}{{ messages[0].content is string }}{{ messages[0] is mapping }}{{ x is undefined }}{{ messages|map('upper') is iterable }}{{ range(2) is sequence }}{{ not x is defined }}
{{ 1 is nothing }}
{{ 1|nothing }}
{{ nothing(1) }}
{{ 'a\tb\\n\'\"\x41\u00e9\U0001F600\101\d' }}{{ "it's" }}{{ 'a' 'b' "c" }}{{ 'line\
x' }}
{{ -1 }}{{ +1 }}{{ - 1 }}{{ 1 - -1 }}{{ 1-1 }}{{ -1|abs }}{{ (-1)|abs }}{{ 2*3+4 }}{{ 2+3*4 }}{{ 1 ~ 2 + 3 }}
{{ 1 ~ 2 * 3 }}{{ 'a' ~ 1 ~ none ~ true ~ 1.0 ~ [1, 'a'] }}{{ 10 % 4 * 2 }}{{ 'a' ~ 'b' in 'cab' }}{{ 1, 2 }}{{ (1,) }}{{ () }}
{{ [1,2,] }}{{ {'a':1,} }}{{ {'a':{'b':{}}}['a']['b'] }}{{ {} }}{{ {'a': {'b': 1}}.a.b }}{{[{'a':1}][0]['a']}}{{ 'a.b'.split('.')[0] | upper }}
a
   {% if true %}
  b
   {% endif %}
c  {# comment #}
 {# line #}
 d

  {%- if true -%}
   x
  {%- endif -%}
   y
{{- ' z ' -}}
   w {{ 1 }}
  {%+ if true %} q {% endif +%}
 r
---
{% for m in messages %}
    {{ m.role }}
    {% if loop.first %}
        first
    {%- endif %}
{% endfor %}
{% if add_generation_prompt %}
GO
{% endif %}
---
{{ bos_token }}{%- for m in messages -%}{{ '<|' + m.role + '|>\n' }}{%- if m.content is string -%}{{ m.content | trim + '</s>' }}{%- else -%}{%- for c in m.content -%}{%- if c.type == 'image' or 'image' in c -%}<image>{%- elif 'text' in c -%}{{ c.text }}{%- endif -%}{%- endfor -%}{%- endif -%}{%- endfor -%}
  {#- a comment -#}  x {# b +#}
 y
{% raw -%}  {{ a }}  {%- endraw %}z{{ "}}" }}{{ '{%' }}{{ {'a':{'b':1}} }}{{ "{{ x }}" }}
{% if x %}a{% elif messages %}b{% else %}c{% endif %}{% if not messages %}x{% endif %}{% if 1 == 1 and (2 == 3 or true) %}t{% endif %}
{{ tools is none }}{{ documents }}{{ tools }}{{ 'T' if tools }}{{ bos_token ~ eos_token }}
{% set x = messages|selectattr('role', 'equalto', 'user')|list %}{{ x|length }}{{ x[-1].role }}{{ (messages|last).role }}{{ messages|map(attribute='content')|first }}
{% set ns = namespace(last=-1) %}{% for m in messages[::-1] %}{% set i = (messages|length - 1) - loop.index0 %}{% if m.role == 'user' and ns.last < 0 %}{% set ns.last = i %}{% endif %}{% endfor %}{{ ns.last }}
{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate') }}{% endif %}{% endfor %}ok
{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set s = messages[0]['content'] %}{% else %}{% set loop_messages = messages %}{% set s = false %}{% endif %}{{ s }}{{ loop_messages|length }}
{% include 'x' %}
{% do x %}
{% if %}
{% for x in %}{% endfor %}
{{ 'a }}
{{ (1 }}
{% endif %}
{% if true %}
{{ a b }}
{% break %}
{{ messages|items|list }}
{{ ''|items|list }}
{{ messages.__class__ }}
{{ 'a'|string ~ 1|string }}{{ 5|string + 'a' }}{{ 1.0|string }}{{ none|string }}{{ [none]|string }}{{ 1 == 1.0 == true }}{{ [1,2]==[1,2] }}{{ (1,2)==[1,2] }}{{ {'a':1}=={'a':1.0} }}
{% macro a(x) %}{{ x.role }}{% if x.content is string %}:{{ x.content }}{% endif %}{% endmacro %}{% for m in messages %}{{ a(m) | trim }};{% endfor %}{{ a(*[messages[0]]) }}{{ a(**{'x': messages[0]}) }}
{{ [1, 2, 3].index(2) }}{{ [1, 1].count(1) }}{{ (1, 2).count(5) }}{{ true ~ false }}{{ (true, false)|join(',') }}{{ [[1, [2.0, none]], ('a',)] }}
{{ 'ß'.title() }}{{ 'ß'|title }}{{ 'ßa'.capitalize() }}{{ 'ﬁx'.capitalize() }}{{ 'a中b ⓐb'.title() }}{{ 'ΑΣ'.capitalize() }}{{ 'ΑΣ'|title }}{{ 'საქ'.title() }}
{{ '①'.isdigit() }}{{ 'ª'.islower() }}{{ 'Ⅷ'.isupper() }}{{ 'aª'.islower() }}{{ 'ⓐ'.islower() }}
{{ '{} {1}'.format(1, 2) }}
{{ '{0} {}'.format(1, 2) }}
'''
lines, block = [], None
whole = TEMPLATES.strip('\n')
head, rest = whole.split('a\n   {% if true %}', 1)
first, second, third = ('a\n   {% if true %}' + rest).split('\n---\n')
items = [t for t in head.replace("line\\\nx", 'line\\@x').split('\n') if t] + [first, second] + [t for t in third.split('\n')[:1]]
tail = third.split('\n')[1:]
items += ['\n'.join(tail[:2])] + [t for t in tail[2:] if t]
items = [t.replace('line\\@x', 'line\\\nx') for t in items]
cases = []
for template in items:
    for name, messages in MESSAGES.items():
        if name == 'parts' and 'messages' not in template:
            continue
        try:
            rendered, _ = render_jinja_template([messages], chat_template=template, add_generation_prompt=True, bos_token='<s>')
            cases.append({'t': template, 'm': name, 'r': rendered[0]})
        except Exception as error:  # noqa: BLE001: any refusal is one
            cases.append({'t': template, 'm': name, 'err': type(error).__name__})
out = pathlib.Path(__file__).parents[1] / 'fixtures' / 'chat-template-values.json'
rows = ',\n'.join(json.dumps(c, ensure_ascii=True) for c in cases)
out.write_text('{"messages": ' + json.dumps(MESSAGES) + ',\n"cases": [\n' + rows + '\n]}\n')
print(len(items), 'templates,', len(cases), 'cases,', out.stat().st_size, 'bytes')
