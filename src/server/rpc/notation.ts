// The notation of remote-protocol.ts as types: what codec.ts reads and writes for it.
import type { TypedParams } from '../../conf/wire.ts'
import type { QEMU_CALLS, REMOTE_CALLS, Structures } from './remote-protocol.ts'

/** The value of a type name. */
type ValueOf<Type extends string> = Type extends `${infer To}?`
  ? ValueOf<To> | undefined
  : Type extends `opaque<${string}`
    ? Buffer
    : Type extends `chars${string}`
      ? string
      : Type extends `param<${string}`
        ? TypedParams | TypedParams[] // written one after the other
        : Type extends `${infer Of}<${string}`
          ? ValueOf<Of>[]
          : Type extends 'int' | 'uint'
            ? number
            : Type extends 'hyper' | 'uhyper'
              ? bigint
              : Type extends 'string' | 'uuid'
                ? string
                : Type extends keyof Structures
                  ? FieldsIn<Structures[Type]>
                  : never

type FieldIn<Word extends string> = Word extends `${infer Name}:${infer Type}`
  ? { [K in Name]: ValueOf<Type> }
  : { [K in Word]: ValueOf<Word> }

/** The values of fields in their notation: `name:type name:type …`. */
export type FieldsIn<Notation extends string> = Notation extends `${infer Word} ${infer Rest}`
  ? FieldIn<Word> & FieldsIn<Rest>
  : Notation extends ''
    ? Record<never, never>
    : FieldIn<Notation>

/** `NAME args > ret` without its name. */
type Body<Notation extends string> = Notation extends `${string} ${infer Rest}` ? Rest : ''
type Args<Text extends string> = Text extends `> ${string}` ? '' : Text extends `${infer A} > ${string}` ? A : Text
type Ret<Text extends string> = Text extends `> ${infer R}` ? R : Text extends `${string} > ${infer R}` ? R : ''

/** The values of a procedure's arguments, and of its results, by its notation. */
export type ArgsIn<Notation extends string> = FieldsIn<Args<Body<Notation>>>
export type RetIn<Notation extends string> = FieldsIn<Ret<Body<Notation>>>

/** The name in a procedure's notation. */
export type NameIn<Notation extends string> = Notation extends `${infer Name} ${string}` ? Name : Notation

/** The notation of a procedure by its name. */
type Called = (typeof REMOTE_CALLS)[keyof typeof REMOTE_CALLS] | (typeof QEMU_CALLS)[keyof typeof QEMU_CALLS]
export type ProcedureName = NameIn<Called>
export type NotationOf<Name extends ProcedureName> = Extract<Called, Name | `${Name} ${string}`>
