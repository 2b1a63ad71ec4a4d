// A disk with a guest of 40 bytes on it: its boot sector says `ready` on the first serial port, and then says again
// whatever it hears there. It needs no kernel and next to no CPU.

/** x86 real mode, loaded at 0x7c00 */
const CODE = [
  [0x31, 0xc0], //          xor ax, ax
  [0x8e, 0xd8], //          mov ds, ax
  [0xfb], //                sti
  [0xba, 0xf8, 0x03], //    mov dx, 0x3f8        data of the first serial port
  [0xbe, 0x25, 0x7c], //    mov si, text
  [0xac], //         say:   lodsb
  [0x84, 0xc0], //          test al, al
  [0x74, 0x03], //          jz listen
  [0xee], //                out dx, al
  [0xeb, 0xf8], //          jmp say
  [0xba, 0xfd, 0x03], // listen: mov dx, 0x3fd   its status
  [0xec], //         wait:  in al, dx
  [0xa8, 0x01], //          test al, 1           something has come
  [0x75, 0x03], //          jnz echo
  [0xf4], //                hlt                  until the timer's next tick
  [0xeb, 0xf8], //          jmp wait
  [0xba, 0xf8, 0x03], // echo: mov dx, 0x3f8
  [0xec], //                in al, dx
  [0xee], //                out dx, al
  [0xeb, 0xee] //           jmp listen
].flat()
const TEXT = 'ready\r\n\0'
const SECTORS = 2048

/** The whole image, raw. */
export function echoDisk(): Buffer {
  const disk = Buffer.alloc(512 * SECTORS)
  disk.set(CODE)
  disk.write(TEXT, CODE.length, 'latin1')
  disk.writeUInt16LE(0xaa55, 510)
  return disk
}
